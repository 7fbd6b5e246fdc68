"""Advice from findings: what is said, with its figure and override, and what is not said because it was tried."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rag_opt.evaluation.outcomes import Outcome
from rag_opt.report.advice import Findings, derive_advice
from rag_opt.report.effects import Effect, Level
from rag_opt.study.space.space import Space

_SPEC = {
    "reader": {"builtin": {}}, "chunker": {"recursive": {"size": 64}}, "embedder": {"model": {"name": "minilm"}},
    "query": {"none": {}}, "retriever": {"rrf": {"top_k": 3, "depth": 50}}, "expander": {"none": {}},
    "reranker": {"none": {}}, "packer": {"ranked": {"context_tokens": 200}},
    "generator": {"extractive": {"sentences": 1, "refuse_below": 0.4}},
}  # fmt: skip
_ROW = {"question": "What?", "objective/value": 0.2, "places/list_rank": 9.0, "places/in_one_chunk": 1.0}


def _findings(outcomes: Sequence[Outcome], **changes: object) -> Findings:
    rows = [{**_ROW, "question_id": f"q{i}"} for i in range(len(outcomes))]
    space = Space.from_dict({"retriever": {"rrf": {"top_k": "1..12"}}}, rest=_SPEC, only={})
    given: dict[str, object] = {"found_by_any": {}, "effects": (), "mean": 0.5, **changes}
    return Findings(spec=_SPEC, space=space, rows=rows, outcomes=outcomes, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "words", "override"),
    [
        ("evidence ranked too low", "ranks 9 to 9 (half of it by 9), below the 3", "space.retriever.rrf.top_k=3..9"),
        ("evidence cut by the budget", "the context of 200 tokens", "space.packer.ranked.context_tokens=400"),
        ("evidence cut apart", "no chunk of recursive (size 64)", "space.chunker.recursive.size=[64,128]"),
        ("refused wrongly", "lower refuse_below from 0.4", "space.generator.extractive.refuse_below=0.0..0.4:0.1"),
        ("answered wrongly", "1 sentences may not hold", "space.generator.extractive.sentences=[1,2,3]"),
        ("evidence lost by the reader", "the reader builtin", "space.reader='{builtin: {}, ocr: {}}'"),
    ],
)
def test_the_class_that_loses_most_comes_first_with_its_override(outcome: Outcome, words: str, override: str) -> None:
    first, *_ = derive_advice(_findings([outcome] * 6 + ["good"] * 4))
    assert first.topic == outcome and words in first.text and override in first.override
    assert first.worth == pytest.approx(0.6 * 0.8) and "6 questions" in first.text


def test_what_was_tried_and_lost_is_not_advised_again() -> None:
    levels = (Level("3", 5, 0.01, 0.0, 0.02), Level("8", 5, -0.02, -0.03, -0.01))
    effect = Effect("retriever.rrf.top_k", levels, 10)
    first, *_ = derive_advice(_findings(["evidence ranked too low"] * 6, effects=[effect]))
    assert "a larger top_k was tried" in first.text and "reranker" in first.override


def test_evidence_that_no_pipeline_finds_is_to_be_looked_at() -> None:
    never = {f"q{i}": False for i in range(6)}
    first, *_ = derive_advice(_findings(["evidence not retrieved"] * 6, found_by_any=never))
    assert first.topic == "questions with wrong evidence" and "“What?”" in first.text


def test_few_questions_and_foreign_models_are_named() -> None:
    few = derive_advice(_findings(["good"] * 9, held_out=5, smallest_gain=float("inf")))
    assert [one.topic for one in few] == ["too few questions"] and "no gain at all" in few[0].text
    foreign = derive_advice(_findings(["good"] * 9, model_languages=["de"], language="en"))
    assert foreign[0].topic == "model of another language"
    assert derive_advice(_findings(["good"] * 9)) == []
