"""A judge's gain, corrected by people's labels of some of the answers (prediction-powered inference)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.evaluation.intervals import Interval
from rag_opt.evaluation.run import Run

MIN_LABELS = 5  # of each of the two pipelines
LabelKey = tuple[str, str, tuple[str, ...]]  # question, answer and passages, empty where a label names none
Labels = Mapping[LabelKey, float]  # -> a person's score


@dataclass(frozen=True)
class CorrectedGain:
    """A gain that counts what people said of the judge: `interval`, and how many labels of each pipeline it rests on.

    `interval` None: there are too few labels.
    """

    interval: Interval | None
    winner_labels: int
    baseline_labels: int


def find_errors(run: Run, judged: FloatArray, labels: Labels) -> FloatArray:
    """Return people's score less the judge's for the answers of a run that people labelled, [labelled]."""
    errors = []
    for row, (question, score) in enumerate(zip(run.questions, judged.tolist(), strict=True)):
        answer = run.responses.answers[row].text
        passages = tuple(run.texts.passage(span) for span in run.responses.contexts[row])
        keys: list[LabelKey] = [(question.text, answer, passages), (question.text, answer, ())]
        keys.append((question.text, "", passages))  # of a metric that does not look at answers
        known = next((labels[key] for key in keys if key in labels), None)
        if known is not None and not np.isnan(score):
            errors.append(known - score)
    return np.array(errors, float)


def correct_gain(gain: Interval, winner_errors: FloatArray, baseline_errors: FloatArray) -> CorrectedGain:
    """Return a judged gain with the mean error of the judge on either pipeline's answers added.

    `gain`: by the judge, with its interval. Errors: people's score less the judge's, of some answers of each.
    mean = gain + mean(winner's errors) - mean(baseline's), and the variances of the three are added (Angelopoulos et
    al., 2023, for a difference of means). The half-width keeps the gain's number of standard errors, at least that of
    Student's t with the fewest labels less one degrees of freedom.
    """
    counts = len(winner_errors), len(baseline_errors)
    if min(counts) < MIN_LABELS or not np.isfinite(gain.high):
        return CorrectedGain(None, *counts)
    from scipy.special import stdtrit

    variances = [float(errors.var(ddof=1)) / len(errors) for errors in (winner_errors, baseline_errors)]
    mean = gain.mean + float(winner_errors.mean()) - float(baseline_errors.mean())
    error = float(np.sqrt(gain.error**2 + sum(variances)))
    by_gain = (gain.high - gain.mean) / gain.error if gain.error > 0 else 0.0
    half = error * max(by_gain, float(stdtrit(min(counts) - 1, 0.975)))
    return CorrectedGain(Interval(mean, error, mean - half, mean + half, gain.clusters), *counts)
