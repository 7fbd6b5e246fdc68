"""A judge that favours one pipeline, and people who say so."""

from __future__ import annotations

import numpy as np

from rag_opt.core.questions import Dataset
from rag_opt.evaluation.intervals import mean_interval
from rag_opt.evaluation.prediction_powered import correct_gain, find_errors
from rag_opt.evaluation.run import ask
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec


def simulated(turn: int, *, labels: int) -> tuple[float, float, float, float]:
    """The true gain of a pipeline that the judge favours by 0.2, and what is measured of it with labels."""
    dice = np.random.default_rng(turn)
    truth = np.clip(dice.normal([[0.55], [0.5]], 0.2, (2, 120)), 0, 1)
    judged = dice.normal([[0.2], [0.0]], 0.1, (2, 120)) + truth
    gain = mean_interval(judged[0] - judged[1], [str(i) for i in range(120)])
    ours, theirs = (truth[row, :labels] - judged[row, :labels] for row in (0, 1))
    corrected = correct_gain(gain, ours, theirs).interval
    assert corrected is not None
    return float((truth[0] - truth[1]).mean()), gain.mean, corrected.low, corrected.high


def test_the_interval_holds_the_gain_that_people_would_have_seen() -> None:
    covered = misled = 0
    for turn in range(300):
        truth, judged, low, high = simulated(turn, labels=15)
        covered += low <= truth <= high
        misled += judged > truth + 0.1
    assert covered / 300 > 0.94 and misled == 300


def test_few_labels_correct_nothing_and_more_of_them_say_it_more_surely() -> None:
    gain = mean_interval(np.linspace(-0.1, 0.3, 40), [str(i) for i in range(40)])
    few = correct_gain(gain, np.zeros(4), np.zeros(20))
    assert few.interval is None and (few.winner_labels, few.baseline_labels) == (4, 20)
    widths = []
    for count in (6, 60):
        dice = np.random.default_rng(count)
        interval = correct_gain(gain, dice.normal(0, 0.2, count), dice.normal(0, 0.2, count)).interval
        assert interval is not None and interval.high - interval.low >= gain.high - gain.low
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0]


def test_a_label_is_of_an_answer_given_from_the_same_passages(
    builder: PipelineBuilder, spec: PipelineSpec, dataset: Dataset
) -> None:
    run = ask(builder.pipeline(spec), dataset.questions)
    texts = [tuple(run.texts.of(span) for span in context) for context in run.responses.contexts]
    asked = [
        (question.text, answer.text) for question, answer in zip(run.questions, run.responses.answers, strict=True)
    ]
    judged = np.full(len(asked), 0.5)
    labels = {
        (*asked[0], texts[0]): 1.0,  # the same passages
        (*asked[1], ()): 0.25,  # a label that names none
        (asked[2][0], "", texts[2]): 0.5,  # of a metric that does not look at answers
        (*asked[3], ("other passages",)): 0.0,
        (asked[4][0], "another answer", texts[4]): 0.0,
    }
    assert find_errors(run, judged, labels).tolist() == [0.5, -0.25, 0.0]
    judged[0] = np.nan
    assert find_errors(run, judged, labels).tolist() == [-0.25, 0.0], "nothing to compare with where it failed to judge"
