"""A judged metric over a run: which answers the judge is asked about, and the scores of those that need no judging."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from objectives.judging import Verdicts, arequest_verdicts, build_idle_metric
from objectives.ragas_metrics import find_metric_class, list_sample_fields
from rag_opt.core.arrays import FloatArray
from rag_opt.core.questions import Question
from rag_opt.core.strict import PlainMapping
from rag_opt.evaluation.interfaces import Sample
from rag_opt.evaluation.run import Run, Scores, ScoringResources

LOWER_IS_BETTER = {"NoiseSensitivity"}
_USAGE = ("calls", "input_tokens", "output_tokens")
_ALWAYS_GIVEN = ("user_input", "response")  # even where they are empty


async def score_judged(
    kind: str,
    metric: str,
    settings: PlainMapping,
    similarity_model: str | None,
    run: Run,
    resources: ScoringResources,
) -> Scores:
    """Return the columns of one metric of ragas, under the names that `kind` gives them.

    They are: the value to optimise (for a metric of the answer), ragas' own number where the judge was asked, coverage,
    failures, what it cost, and the standard deviation over repeats where there are any.
    """
    fields, required = list_sample_fields(find_metric_class(metric))
    about_answer = "response" in fields
    quality, raw, rows = _score_without_judge(metric, settings, run, fields, required)
    verdicts = await arequest_verdicts(
        metric,
        settings,
        [_build_sample(run, row, fields) for row in rows],
        judge=resources.judge,
        encoder=resources.encoder(similarity_model) if similarity_model is not None else None,
        language=run.corpus.language,
    )
    judged, spread = _aggregate_repeats(verdicts)
    succeeded = np.array([not failure for failure in verdicts.failures], bool)
    scored = np.array(rows, int)[succeeded]
    quality[scored] = raw[scored] = judged[succeeded]
    columns = {
        f"ragas/{kind}": raw,
        f"ragas/{kind}_coverage": _fill(run, rows, succeeded.astype(float)),
        f"ragas/{kind}_failures": _fill(run, rows, (~succeeded).astype(float)),
    }
    if resources.judge is not None:
        resources.judge.failures.update(failure for failure in verdicts.failures if failure)
        for name, usage in zip(_USAGE, verdicts.usage.T, strict=True):
            columns[f"cost/judge_{kind}_{name}"] = _fill(run, rows, usage)
    if spread is not None:
        columns[f"ragas/{kind}_spread"] = _fill(run, rows, spread)
    return {f"quality/{kind}": quality, **columns} if about_answer else columns


def _score_without_judge(
    metric: str, settings: PlainMapping, run: Run, fields: Sequence[str], required: Sequence[str]
) -> tuple[FloatArray, FloatArray, list[int]]:
    """Return the columns of the value and of ragas' number, with what needs no judge, and the rows to be judged."""
    low, high = build_idle_metric(metric, settings).allowed_values
    best, worst = (low, high) if metric in LOWER_IS_BETTER else (high, low)
    quality, raw = (np.full(len(run.questions), np.nan) for _ in range(2))
    about_answer, rows = "response" in fields, list[int]()
    for row, (question, answer) in enumerate(zip(run.questions, run.responses.answers, strict=True)):
        if about_answer and not question.answerable:
            quality[row] = best if answer.refused else worst
        elif question.answerable and _has_required(question, required):
            if about_answer and answer.refused:
                quality[row] = worst
            elif "retrieved_contexts" in fields and not run.responses.contexts[row]:
                quality[row] = raw[row] = worst
            else:
                rows.append(row)
    return quality, raw, rows


def _has_required(question: Question, required: Sequence[str]) -> bool:
    lacks_answer = "reference" in required and not question.reference_answer
    return not lacks_answer and ("reference_contexts" not in required or question.has_spans)


def _build_sample(run: Run, row: int, fields: Sequence[str]) -> Sample:
    """Return what a metric is given of one question: those of its fields that have a value."""
    question, responses = run.questions[row], run.responses
    evidence = [text for need in question.evidence or () if (text := run.texts.passage_of(need[0])) is not None]
    whole: dict[str, str | list[str]] = {
        "user_input": question.text,
        "response": responses.answers[row].text,
        "retrieved_contexts": [run.texts.passage(span) for span in responses.contexts[row]],
        "reference": question.reference_answer or "",
        "reference_contexts": evidence,
    }
    return {name: whole[name] for name in fields if whole[name] or name in _ALWAYS_GIVEN}


def _aggregate_repeats(verdicts: Verdicts) -> tuple[FloatArray, FloatArray | None]:
    """Return the mean of each sample over repeats, and the standard deviation where there is more than one repeat."""
    means = np.array([scores.mean() for scores in verdicts.scores], float)
    if verdicts.scores.shape[1] == 1:
        return means, None
    return means, np.array([scores.std(ddof=1) for scores in verdicts.scores], float)


def _fill(run: Run, rows: Sequence[int], values: FloatArray) -> FloatArray:
    """Return a column of the run with values in some rows and NaN in the others."""
    column = np.full(len(run.questions), np.nan)
    column[list(rows)] = values
    return column
