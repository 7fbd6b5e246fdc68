"""A sweep proposes by what trials would score, from the lists of one index."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from rag_opt.core.questions import Dataset
from rag_opt.evaluation.run import ask
from rag_opt.metrics.evidence import build_span_gold, score_spans
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.artifacts import Store
from rag_opt.study.space.space import Space
from rag_opt.study.sweep import PROPOSED, sweep

RETRIEVERS = {
    "dense": {"top_k": "1..4", "depth": 10},
    "lexical": {"top_k": "1..4", "depth": 10, "k1": [0.9, 1.2]},
    "weighted": {"top_k": [1, 3], "depth": 10, "weight": "0.1..0.9:0.4"},
}


@pytest.fixture(scope="module")
def space(default_pipeline: dict[str, object]) -> Space:
    return Space.from_dict({"retriever": RETRIEVERS}, rest=default_pipeline, only={})


def test_every_row_is_what_the_pipeline_would_score(
    builder: PipelineBuilder, spec: PipelineSpec, space: Space, dataset: Dataset
) -> None:
    ask(builder.pipeline(spec), dataset.questions)
    found = sweep(builder, spec, space, dataset.questions, price_per_1000_tokens=0.5)
    assert found is not None
    kinds = {row[0] for row in found.data}
    assert kinds == {"dense", "lexical", "weighted"}
    # dense at 4 cuts, BM25 only with the settings that the hybrid fuses at 4, three weights at 2
    assert len(found.data) == 4 + 4 + 3 * 2
    assert [row[4] for row in found.data] == sorted((row[4] for row in found.data), reverse=True)
    answerable = [question for question in dataset.questions if question.answerable]
    for kind, words, recall, tokens, value in found.data:
        settings = {name: yaml.safe_load(v) for name, v in (w.split("=") for w in words.split())}
        one = PipelineSpec.from_dict({**spec.to_dict(), "retriever": {kind: settings}})
        run = ask(builder.pipeline(one), answerable)
        scored = score_spans(run.responses.hits, build_span_gold(answerable, dataset.corpus)).recall
        assert recall == pytest.approx(float(scored.mean()), abs=1e-4), words
        assert tokens == pytest.approx(float(run.responses.context_tokens.mean()), abs=0.1), words
        assert value == pytest.approx(recall - 0.5 * tokens / 1000, abs=2e-4)


def test_a_sweep_proposes_the_best_distinct_pipelines_of_the_space(
    builder: PipelineBuilder, spec: PipelineSpec, space: Space, dataset: Dataset
) -> None:
    found = sweep(builder, spec, space, dataset.questions, price_per_1000_tokens=0.0)
    assert found is not None and len(found.specs) == PROPOSED
    assert all(proposed in space for proposed in found.specs)
    retrievers = [next(iter(proposed["retriever"].items())) for proposed in found.specs]
    apart = {(kind, settings.get("weight"), settings.get("k1")) for kind, settings in retrievers}
    assert len(apart) == PROPOSED, "top_k alone does not make another proposal"
    forbidden = dataclasses.replace(space, forbid=({"retriever": ["weighted", "dense"]},))
    found = sweep(builder, spec, forbidden, dataset.questions, price_per_1000_tokens=0.0)
    assert found is not None and {kind for s in found.specs for kind in s["retriever"]} == {"lexical"}


def test_a_sweep_does_not_depend_on_what_else_is_stored(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec, space: Space, dataset: Dataset, cards: EmbedderCards
) -> None:
    other = PipelineSpec.from_dict({**spec.to_dict(), "retriever": {"lexical": {"k1": 0.9, "depth": 10}}})
    ask(builder.pipeline(other), dataset.questions)
    store = Store(tmp_path)
    empty = PipelineBuilder(dataset.corpus, store, cards)
    found = [sweep(w, spec, space, dataset.questions, price_per_1000_tokens=0.1) for w in (builder, empty)]
    assert found[0] == found[1] and found[0] is not None
    assert all("k1=0.9" not in row[1] for row in found[0].data)
    empty.close()
    store.close()


def test_nothing_is_swept_without_evidence(
    builder: PipelineBuilder, spec: PipelineSpec, space: Space, dataset: Dataset
) -> None:
    unanswerable = [question for question in dataset.questions if not question.answerable]
    assert sweep(builder, spec, space, unanswerable, price_per_1000_tokens=0.0) is None


def test_hits_beyond_a_full_context_do_not_count(
    builder: PipelineBuilder, spec: PipelineSpec, space: Space, dataset: Dataset
) -> None:
    short = PipelineSpec.from_dict({**spec.to_dict(), "packer": {"ranked": {"context_tokens": 40}}})
    ask(builder.pipeline(short), dataset.questions)
    found = sweep(builder, short, space, dataset.questions, price_per_1000_tokens=0.0)
    assert found is not None
    assert max(row[3] for row in found.data) <= 40
    by_cut = {row[1]: row[2] for row in found.data if row[0] == "dense"}
    assert by_cut["top_k=4 depth=10"] == by_cut["top_k=2 depth=10"]
    assert np.isfinite(list(by_cut.values())).all()
