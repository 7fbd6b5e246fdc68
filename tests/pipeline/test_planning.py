from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rag_opt.parts.embedders.cards import Cards
from rag_opt.pipeline import Ledger, PipelineSpec, Planner, Workshop, plan
from rag_opt.records import Corpus, Dataset, Document
from rag_opt.store import Store

SPEC = {
    "chunker": {"fixed": {"size": 24}},
    "embedder": {"model": {"name": "minilm"}},
    "retriever": {"rrf": {"top_k": 2, "depth": 5}},
    "reranker": {"none": {}},
    "packer": {"ranked": {}},
    "generator": {"extractive": {}},
}
EMBED = "embed sentence-transformers/all-MiniLM-L6-v2"
COMPARE = EMBED.replace("embed", "compare")


def spec_of(**slots: object) -> PipelineSpec:
    return PipelineSpec.from_dict({**SPEC, **slots})


@pytest.fixture
def workshop(tmp_path: Path, dataset: Dataset, cards: Cards) -> Workshop:
    return Workshop(dataset.corpus, Store(tmp_path), cards)


def test_a_plan_of_nothing_built_expects_everything(workshop: Workshop, dataset: Dataset) -> None:
    found = plan(workshop, spec_of(), dataset.questions)
    names = [stage.name for stage in found.missing]
    assert names == [
        "chunk fixed", COMPARE, EMBED, "index chroma", "search chroma", "index bm25", "search bm25",
        "answer extractive",
    ]  # fmt: skip
    assert workshop.store.built == {} and workshop.encoded() == 0
    expected, questions = found[EMBED], len(dataset.questions)
    assert not expected.counted
    assert found["search chroma"].missing == found["search chroma"].total == questions
    # the expectation is about what is then counted
    workshop.pipeline(spec_of())
    counted = plan(workshop, spec_of(), dataset.questions)[EMBED]
    assert counted.counted and counted.name == EMBED
    assert expected.work == pytest.approx(counted.work, rel=0.3)


def test_the_work_of_a_plan_is_the_work_that_is_done(workshop: Workshop, dataset: Dataset) -> None:
    workshop.pipeline(spec_of())  # cut, so that all is counted
    before = plan(workshop, spec_of(), dataset.questions)
    workshop.pipeline(spec_of()).ask(dataset.questions)
    spent = workshop.ledger.spent
    for name in ("index chroma", "index bm25", "search chroma", "search bm25", "answer extractive"):
        assert spent[name][0] == before[name].work, name
        assert spent[name][1] > 0
    assert spent[EMBED][0] == before[EMBED].work
    assert spent[COMPARE][0] > before[COMPARE].work  # the sentences of answers were not known before
    left = plan(workshop, spec_of(), dataset.questions).missing
    assert [stage.name for stage in left] == ["answer extractive"] and not left[0].counted


def test_a_plan_knows_what_other_pipelines_left_in_the_store(workshop: Workshop, dataset: Dataset) -> None:
    workshop.pipeline(spec_of()).ask(dataset.questions)
    cut = spec_of(embedder={"model": {"name": "minilm", "dimensions": 128}})
    assert [stage.name for stage in plan(workshop, cut, dataset.questions).missing] == [
        "index chroma", "search chroma", "answer extractive",
    ]  # fmt: skip
    other = spec_of(retriever={"weighted": {"top_k": 1, "depth": 5}}, reranker={"mmr": {}})
    assert [stage.name for stage in plan(workshop, other, dataset.questions).missing] == [
        "rerank mmr",
        "answer extractive",
    ]


def test_one_more_document_costs_its_own_chunks(workshop: Workshop, dataset: Dataset, cards: Cards) -> None:
    workshop.pipeline(spec_of()).ask(dataset.questions)
    corpus = Corpus(
        (*dataset.corpus.documents, Document("new.md", "Glass is made of sand. It is melted in a furnace."))
    )
    more = Workshop(corpus, workshop.store, cards)
    pipeline = more.pipeline(spec_of())
    assert plan(more, spec_of(), dataset.questions)[EMBED].missing == 1
    pipeline.ask([])
    pipeline.open_index("dense")
    assert more.encoded() == 1


def test_planning_loads_no_model(workshop: Workshop, dataset: Dataset) -> None:
    before = set(sys.modules)
    Planner(workshop, dataset.questions).plan(spec_of())
    assert not {"openvino", "chromadb"} & (set(sys.modules) - before)


def test_a_stage_is_not_charged_for_the_stages_inside_it() -> None:
    import time

    ledger = Ledger()
    with ledger.timed("outer", 1):
        time.sleep(0.01)
        with ledger.timed("inner", 2):
            time.sleep(0.05)
    assert ledger.spent["outer"][1] < 0.04 < ledger.spent["inner"][1]
    assert ledger.since({"outer": (1.0, 0.0)}) == {"inner": ledger.spent["inner"]}
