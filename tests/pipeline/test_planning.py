from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rag_opt.core.documents import Corpus, Document
from rag_opt.core.questions import Dataset
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.plan import Planner, plan
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.pipeline.stage_timer import StageTimer
from rag_opt.store.artifacts import Store

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
def builder(tmp_path: Path, dataset: Dataset, cards: EmbedderCards) -> PipelineBuilder:
    return PipelineBuilder(dataset.corpus, Store(tmp_path), cards)


def test_a_plan_of_nothing_built_expects_everything(builder: PipelineBuilder, dataset: Dataset) -> None:
    found = plan(builder, spec_of(), dataset.questions)
    names = [stage.name for stage in found.missing]
    assert names == [
        "chunk fixed", COMPARE, EMBED, "index chroma", "search chroma", "index bm25", "search bm25",
        "answer extractive",
    ]  # fmt: skip
    assert builder.store.built == {} and builder.encoded() == 0
    expected, questions = found[EMBED], len(dataset.questions)
    assert not expected.counted
    assert found["search chroma"].missing == found["search chroma"].total == questions
    # the expectation is about what is then counted
    builder.pipeline(spec_of())
    counted = plan(builder, spec_of(), dataset.questions)[EMBED]
    assert counted.counted and counted.name == EMBED
    assert expected.work == pytest.approx(counted.work, rel=0.3)


def test_the_work_of_a_plan_is_the_work_that_is_done(builder: PipelineBuilder, dataset: Dataset) -> None:
    builder.pipeline(spec_of())  # cut, so that all is counted
    before = plan(builder, spec_of(), dataset.questions)
    builder.pipeline(spec_of()).ask(dataset.questions)
    spent = builder.stage_timer.spent
    for name in ("index chroma", "index bm25", "search chroma", "search bm25"):
        assert spent[name][0] == before[name].work, name
        assert spent[name][1] > 0
    assert spent[EMBED][0] == before[EMBED].work
    tokens = builder.pipeline(spec_of()).ask(dataset.questions).context_tokens.sum()
    assert spent["answer extractive"][0] == tokens, "the work of an answer is what is read for it"
    assert before["answer extractive"].work == pytest.approx(float(tokens), rel=0.3)
    assert spent[COMPARE][0] > before[COMPARE].work  # the sentences of answers were not known before
    left = plan(builder, spec_of(), dataset.questions).missing
    assert [stage.name for stage in left] == ["answer extractive"] and not left[0].counted


def test_a_plan_knows_what_other_pipelines_left_in_the_store(builder: PipelineBuilder, dataset: Dataset) -> None:
    builder.pipeline(spec_of()).ask(dataset.questions)
    cut = spec_of(embedder={"model": {"name": "minilm", "dimensions": 128}})
    assert [stage.name for stage in plan(builder, cut, dataset.questions).missing] == [
        "index chroma", "search chroma", "answer extractive",
    ]  # fmt: skip
    other = spec_of(retriever={"weighted": {"top_k": 1, "depth": 5}}, reranker={"mmr": {}})
    assert [stage.name for stage in plan(builder, other, dataset.questions).missing] == [
        "rerank mmr",
        "answer extractive",
    ]


def test_one_more_document_costs_its_own_chunks(
    builder: PipelineBuilder, dataset: Dataset, cards: EmbedderCards
) -> None:
    builder.pipeline(spec_of()).ask(dataset.questions)
    corpus = Corpus(
        (*dataset.corpus.documents, Document("new.md", "Glass is made of sand. It is melted in a furnace."))
    )
    more = PipelineBuilder(corpus, builder.store, cards)
    pipeline = more.pipeline(spec_of())
    assert plan(more, spec_of(), dataset.questions)[EMBED].missing == 1
    pipeline.ask([])
    pipeline.open_index("dense")
    assert more.encoded() == 1


def test_planning_loads_no_model(builder: PipelineBuilder, dataset: Dataset) -> None:
    before = set(sys.modules)
    Planner(builder, dataset.questions).plan(spec_of())
    assert not {"openvino", "chromadb"} & (set(sys.modules) - before)


def test_a_stage_is_not_charged_for_the_stages_inside_it() -> None:
    import time

    stage_timer = StageTimer()
    with stage_timer.timed("outer", 1):
        time.sleep(0.01)
        with stage_timer.timed("inner", 2):
            time.sleep(0.05)
    assert stage_timer.spent["outer"][1] < 0.04 < stage_timer.spent["inner"][1]
    assert stage_timer.since({"outer": (1.0, 0.0)}) == {"inner": stage_timer.spent["inner"]}
