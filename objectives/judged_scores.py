"""A judged metric over a run: what is asked of the judge, and what stands for answers that need no judging."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from objectives.judging import averdicts, construct
from objectives.ragas_metrics import metric_class
from rag_opt.core.documents import Span
from rag_opt.core.questions import Question
from rag_opt.evaluation.run import Run, Scores, ScoringResources

FED = ("user_input", "response", "retrieved_contexts", "reference", "reference_contexts")
LOWER_IS_BETTER = {"NoiseSensitivity"}
_ASKED = ("calls", "input_tokens", "output_tokens")


async def judged_scores(
    kind: str, metric: str, settings: Mapping[str, Any], similarity_model: str | None, run: Run, tools: ScoringResources
) -> Scores:
    """The columns of one metric: what is optimised, ragas' number where it was asked for, coverage, failures, and the
    standard deviation over repeats.
    """
    low, high = construct(metric, settings, judge=None, encoder=None, checking=True).allowed_values
    best, worst = (low, high) if metric in LOWER_IS_BETTER else (high, low)
    takes, required = taken(metric_class(metric))
    count, about_answer = len(run.questions), "response" in takes
    quality, raw, coverage, failures, spread = (np.full(count, np.nan) for _ in range(5))
    asked = np.full((count, 3), np.nan)
    refused = [answer.refused for answer in run.responses.answers]
    rows = []
    for row, question in enumerate(run.questions):
        if about_answer and not question.answerable:
            quality[row] = best if refused[row] else worst
        elif question.answerable and _fed(question, required):
            if about_answer and refused[row]:
                quality[row] = worst
            elif "retrieved_contexts" in takes and not run.responses.contexts[row]:
                quality[row] = raw[row] = worst
            else:
                rows.append(row)
    found = await averdicts(
        metric,
        settings,
        [_sample(run, row, takes) for row in rows],
        judge=tools.judge,
        encoder=tools.encoder(similarity_model) if similarity_model is not None else None,
        language=run.corpus.language,
    )
    asked[rows] = found.asked
    for row, scores, why in zip(rows, found.scores, found.failures, strict=True):
        coverage[row], failures[row] = float(not why), float(bool(why))
        if not why:
            quality[row] = raw[row] = scores.mean()
            if len(scores) > 1:
                spread[row] = scores.std(ddof=1)
    if tools.judge is not None:
        tools.judge.failures.update(why for why in found.failures if why)
    columns = {f"ragas/{kind}": raw, f"ragas/{kind}_coverage": coverage, f"ragas/{kind}_failures": failures}
    if tools.judge is not None:
        columns |= {f"cost/judge_{kind}_{what}": asked[:, i] for i, what in enumerate(_ASKED)}
    if found.scores.shape[1] > 1:
        columns[f"ragas/{kind}_spread"] = spread
    return {f"quality/{kind}": quality, **columns} if about_answer else columns


def _fed(question: Question, required: Sequence[str]) -> bool:
    lacks_answer = "reference" in required and not question.reference_answer
    return not lacks_answer and ("reference_contexts" not in required or question.has_spans)


def _sample(run: Run, row: int, takes: Sequence[str]) -> dict[str, Any]:
    question, responses = run.questions[row], run.responses
    spans = [need[0] for need in question.evidence or () if isinstance(need[0], Span)]
    whole = {
        "user_input": question.text,
        "response": responses.answers[row].text,
        "retrieved_contexts": [run.texts.of(span) for span in responses.contexts[row]],
        "reference": question.reference_answer or "",
        "reference_contexts": [run.texts.of(span) for span in spans],
    }
    return {name: whole[name] for name in takes if whole[name] or name in ("user_input", "response")}


def taken(cls: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a sample may hold of what there is, and what it must hold: parameters of `ascore`."""
    parameters = [one for one in list(inspect.signature(cls.ascore).parameters.values())[1:] if one.name != "kwargs"]
    must = tuple(one.name for one in parameters if one.default is inspect.Parameter.empty)
    return tuple(one.name for one in parameters if one.name in FED), must
