"""Guards: limits against the baseline and by themselves, and names that are none."""

from __future__ import annotations

import math

import pytest

from rag_opt.core.errors import BadInput
from rag_opt.evaluation.guards import COVERAGE, Guard, Guards, default_guards

BASELINE = {"quality/refused_answerable": 0.1, "cost/context_tokens": 800.0, "coverage": 1.0, "cost/answer_words": 40.0}


def guarded() -> Guards:
    return Guards({name: guard for name, guard in default_guards().items() if guard is not None})


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({}, {}),
        ({"quality/refused_answerable": 0.15}, {}),
        ({"quality/refused_answerable": 0.39}, {"refused_answerable": 0.24}),
        ({"cost/context_tokens": 4000.0}, {"context_tokens": 800.0}),
        ({"coverage": 0.9, "cost/answer_words": 200.0}, {COVERAGE: 0.05, "answer_words": 40.0}),
        ({"coverage": math.nan}, {COVERAGE: 1.0}),
    ],
)
def test_the_guards_of_every_search(changed: dict[str, float], broken: dict[str, float]) -> None:
    assert guarded().broken({**BASELINE, **changed}, BASELINE) == pytest.approx(broken)


def test_without_a_baseline_only_what_stands_alone_holds() -> None:
    assert guarded().broken({**BASELINE, "quality/refused_answerable": 1.0}, None) == {}
    assert guarded().broken({**BASELINE, "coverage": 0.5}, None) == pytest.approx({COVERAGE: 0.45})


def test_a_guard_may_be_a_fall_or_an_end_and_names_its_metric_with_or_without_prefix() -> None:
    guards = Guards({"ragas/rouge_l": Guard(fall=0.02), "latency_ms_p95": Guard(at_most=500)})
    metrics = {"ragas/rouge_l": 0.5, "cost/latency_ms_p95": 650.0}
    expected = {"ragas/rouge_l": 0.08, "latency_ms_p95": 150}
    assert guards.broken(metrics, {"ragas/rouge_l": 0.6}) == pytest.approx(expected)
    assert guards.excesses({"ragas/rouge_l": 0.6}, {"ragas/rouge_l": 0.6}) == pytest.approx({"ragas/rouge_l": -0.02})


def test_a_misspelt_metric_is_refused_and_one_of_finalists_is_said() -> None:
    known = ["quality/refused_answerable", "coverage", "cost/usd"]
    with pytest.raises(BadInput, match=r"objective.guards.refused_answerabel: .*did you mean 'refused_answerable'"):
        Guards({"refused_answerabel": Guard(rise=0.1)}).validate_names(known)
    named = Guards({"usd": Guard(times=2), "quality/rouge_l": Guard(fall=0.1)})
    assert named.validate_names(known) == ["quality/rouge_l"]


def test_a_guard_says_what_it_allows() -> None:
    assert str(Guard(rise=0.05)) == "at most 0.05 above the baseline's"
    assert str(Guard(at_least=0.95, at_most=1)) == "at least 0.95, at most 1"
