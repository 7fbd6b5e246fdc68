"""The ranked list of a pipeline, before it is cut and packed; and chunks that no model has to read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from objectives.retrieval import DocumentNdcg
from rag_opt.core.documents import Corpus, Document
from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.questions import Question, WholeDocument
from rag_opt.evaluation.run import ScoringResources, ask
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.artifacts import Store

CORPUS = Corpus(tuple(Document(f"d{number}", f"Bees dance number {number}. " * 30) for number in range(12)))
QUESTIONS = (
    Question("q", "Which bees dance number 7?", evidence=((WholeDocument("d7"),), (WholeDocument("d3"),))),
    Question("r", "Which bees dance number 2?", evidence=((WholeDocument("d2"),),)),
)


def spec_of(**slots: object) -> PipelineSpec:
    plain: dict[str, object] = {
        "chunker": {"document": {"size": 60}},
        "embedder": {"model": {}},
        "query": {"none": {}},
        "retriever": {"dense": {"top_k": 2, "depth": 10}},
        "expander": {"none": {}},
        "reranker": {"none": {}},
        "packer": {"ranked": {"context_tokens": 100}},
        "generator": {"extractive": {}},
    }
    return PipelineSpec.from_dict({**plain, **slots})


@pytest.fixture
def builder(tmp_path: Path, cards: EmbedderCards) -> PipelineBuilder:
    return PipelineBuilder(CORPUS, Store(tmp_path), cards)


@pytest.mark.parametrize("reranker", [{"none": {}}, {"mmr": {}}])
def test_ranking_metrics_see_the_whole_list_whatever_the_context_holds(
    builder: PipelineBuilder, reranker: dict[str, object]
) -> None:
    few, many = (
        ask(
            builder.pipeline(
                spec_of(
                    reranker=reranker,
                    retriever={"dense": {"top_k": top_k, "depth": 10}},
                    packer={"ranked": {"context_tokens": tokens}},
                )
            ),
            QUESTIONS,
        )
        for top_k, tokens in ((1, 40), (10, 5000))
    )
    assert few.responses.hits.document.shape[1] == 1
    np.testing.assert_array_equal(few.responses.ranked.document, many.responses.ranked.document)
    assert (few.responses.ranked.document >= 0).sum(axis=1).min() == 10
    resources = ScoringResources(builder.encoder)
    scores = [DocumentNdcg().score(run, resources) for run in (few, many)]
    for name, column in scores[0].items():
        np.testing.assert_array_equal(column, scores[1][name])
    alone = few.select([1])
    np.testing.assert_array_equal(alone.responses.ranked.start, few.responses.ranked.start[[1]])


def test_words_are_found_in_chunks_that_no_model_reads_whole(builder: PipelineBuilder) -> None:
    large: dict[str, object] = {"document": {"size": 5000}}
    with pytest.raises(ImpossiblePipeline, match="chunks of 5000 tokens are longer than minilm reads"):
        builder.check(spec_of(chunker=large))
    lexical = spec_of(chunker=large, retriever={"lexical": {"top_k": 2, "depth": 10}})
    hits = builder.pipeline(lexical).retrieve(QUESTIONS).ranked
    assert CORPUS.ids[hits.document[0, 0]] == "d7" and CORPUS.ids[hits.document[1, 0]] == "d2"
