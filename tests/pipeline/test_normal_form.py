"""Pipelines without vectors, without answers, and pipelines that are written differently and do the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml

from rag_opt.cli.composing import conf_folder
from rag_opt.core.documents import Corpus, Document
from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.questions import Dataset
from rag_opt.evaluation.run import ask
from rag_opt.models.encoder import Encoder
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.normal_form import without_unread_vectors
from rag_opt.pipeline.plan import plan
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.artifacts import Store
from rag_opt.study.space.space import Space

WIDE = yaml.safe_load((conf_folder() / "space" / "wide.yaml").read_text())
PIPELINE = yaml.safe_load((conf_folder() / "pipeline" / "default.yaml").read_text())
WORDS_ALONE: dict[str, Any] = {
    "chunker": {"recursive": {"size": 32}},
    "embedder": {"none": {}},
    "retriever": {"lexical": {"top_k": 3, "depth": 10}},
    "reranker": {"none": {}},
    "packer": {"ranked": {"context_tokens": 200}},
    "generator": {"none": {}},
}


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Encoder) -> None:
        raise AssertionError("an embedding model was asked for")

    monkeypatch.setattr(Encoder, "_new_backend", refuse)


def test_words_alone_load_no_embedding_model(
    no_model: None, dataset: Dataset, store: Store, builder: PipelineBuilder
) -> None:
    spec = PipelineSpec.from_dict(WORDS_ALONE)
    fresh = PipelineBuilder(dataset.corpus, store, builder.cards)
    stages = [stage.name for stage in plan(fresh, spec, dataset.questions).stages]
    assert stages == ["chunk recursive", "index bm25", "search bm25"]
    run = ask(fresh.pipeline(spec), dataset.questions)
    assert not run.responses.answered and {answer.text for answer in run.responses.answers} == {""}
    assert (run.responses.hits.document >= 0).any() and run.responses.context_tokens.sum() > 0
    assert fresh.encoded() == 0 and fresh.truncated_chunks(spec) == 0
    fresh.close()


@pytest.mark.parametrize(
    ("slot", "part"),
    [
        ("retriever", {"dense": {}}),
        ("reranker", {"mmr": {}}),
        ("chunker", {"semantic": {"size": 32}}),
        ("generator", {"extractive": {}}),
    ],
)
def test_what_reads_vectors_needs_an_embedder(slot: str, part: dict[str, Any], builder: PipelineBuilder) -> None:
    spec = PipelineSpec.from_dict({**WORDS_ALONE, slot: part})
    with pytest.raises(ImpossiblePipeline, match=f"{slot} .* reads vectors, but embedder none"):
        builder.check(spec)
    with_model = PipelineSpec.from_dict({**WORDS_ALONE, slot: part, "embedder": {"model": {}}})
    assert without_unread_vectors(with_model) == with_model
    assert without_unread_vectors(PipelineSpec.from_dict({**WORDS_ALONE, "embedder": {"model": {}}})).embedder.kind == (
        "none"
    )


SAME = {
    "a graph that is not asked": [{"retriever": {"dense": {"ef_search": ef}}} for ef in (50, 100, 2000)],
    "and one of a hybrid": [{"retriever": {"rrf": {"ef_search": ef}}} for ef in (50, 200)],
    "int8's oversampling without int8": [{"retriever": {"exact": {"oversample": n}}} for n in (1, 4)],
    "the language's own stemmer": [
        {"retriever": {"lexical": {"stemmer": name}}} for name in ("corpus", "english")
    ],
    "no vectors at all": [
        {"retriever": {"lexical": {}}, "generator": {"none": {}}, "embedder": part}
        for part in ({"none": {}}, {"model": {"dimensions": 128}}, {"pca": {}}, {"late": {}})
    ],
    "vectors of chunks that nobody looks for": [
        {"retriever": {"lexical": {}}, "embedder": part} for part in ({"model": {}}, {"pca": {}}, {"late": {}})
    ],
    "the depth of both lists": [{"retriever": {"rrf": {"lexical_depth": n}}} for n in (None, 50)],
}  # fmt: skip
DIFFERENT = {
    "sentences are compared by fewer dimensions": [
        {"retriever": {"lexical": {}}, "embedder": {"model": {"dimensions": n}}} for n in (None, 128)
    ],
    "int8": [{"retriever": {"exact": {"precision": "int8", "oversample": n}}} for n in (1, 4)],
    "a stemmer": [{"retriever": {"lexical": {"stemmer": name}}} for name in ("none", "corpus")],
    "projected vectors that are searched": [{"embedder": part} for part in ({"model": {}}, {"pca": {}})],
}


def identities(variants: list[dict[str, Any]], builder: PipelineBuilder) -> set[str]:
    return {builder.candidates.identify({**PIPELINE, **variant}) for variant in variants}


@pytest.mark.parametrize("name", SAME)
def test_pipelines_that_do_the_same_are_one(name: str, builder: PipelineBuilder) -> None:
    english = PipelineBuilder(Corpus(builder.corpus.documents, "en"), builder.store, builder.cards)
    assert len(identities(SAME[name], english)) == 1


@pytest.mark.parametrize("name", DIFFERENT)
def test_pipelines_that_differ_are_several(name: str, builder: PipelineBuilder) -> None:
    english = PipelineBuilder(Corpus(builder.corpus.documents, "en"), builder.store, builder.cards)
    assert len(identities(DIFFERENT[name], english)) == len(DIFFERENT[name])


def test_a_graph_that_is_asked_tells_pipelines_apart(builder: PipelineBuilder) -> None:
    large = Corpus((Document("d", "x" * 30_000_000),), "en")
    assert len(identities(SAME["a graph that is not asked"], PipelineBuilder(large, builder.store, builder.cards))) == 3
    nowhere = PipelineBuilder(Corpus(builder.corpus.documents, "xx"), builder.store, builder.cards)
    assert len(identities(DIFFERENT["a stemmer"], nowhere)) == 1, "a language that has none"


def test_pipelines_of_one_identity_return_the_same(builder: PipelineBuilder, dataset: Dataset) -> None:
    """Whatever a wide space draws: what counts as one pipeline gives one result."""
    small = {slot: kinds for slot, kinds in WIDE.items() if slot not in ("chunker", "embedder", "reranker")}
    fixed = {"chunker": {"recursive": {"size": 32}}, "reranker": {"none": {}, "mmr": {"trade_off": 0.5}}}
    embedders = {"embedder": {"model": {"dimensions": [None, 128]}, "pca": {"project_to": 5}}}
    space = Space.from_dict({**small, **fixed, **embedders, "generator": {"none": {}}}, rest=PIPELINE, only={})
    random, found = np.random.default_rng(0), dict[str, list[PipelineSpec]]()
    for _ in range(3000):
        spec = space.draw(random)
        if "window" not in spec["expander"] and not builder.candidates.reason_impossible(spec):
            found.setdefault(builder.candidates.identify(spec), []).append(PipelineSpec.from_dict(spec))
    several = [specs for specs in found.values() if len({spec.digest for spec in specs}) > 1][:12]
    assert len(several) == 12
    for specs in several:
        other = next(spec for spec in specs if spec != specs[0])
        ours, theirs = (ask(builder.pipeline(spec), dataset.questions) for spec in (specs[0], other))
        assert ours.row_digests == theirs.row_digests, (specs[0], other)
