"""Sparse models held against plain transformers; their index against the products of whole rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rag_opt.cli.composing import conf_folder
from rag_opt.core.errors import ImpossiblePipeline, ModelRefused
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard, embedder_card_library
from rag_opt.models.reranker_resources import RerankerResources
from rag_opt.models.runtimes import Machine
from rag_opt.models.sparse_model import SparseModel
from rag_opt.parts.indexes.sparse import Sparse
from rag_opt.store.values import MemoryValues
from tests.model_resources import resources_of
from tests.tiny_models import READS_TOKENS, build_sparse, reference_weights

TEXTS = ["Honey bees dance.", "The Danube flows through ten countries.", "yeast", "long text " * 60, ""]
PLAIN = Machine(device="cpu", runtime="torch", document_precision="float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_sparse(tmp_path_factory.mktemp("sparse"))


@pytest.fixture(scope="module")
def card(folder: Path) -> EmbedderCard:
    facts = {"id": "tiny", "path": str(folder), "dimensions": 30522, "reads_tokens": READS_TOKENS}
    return EmbedderCard(vectors="sparse", **facts)  # type: ignore[arg-type]


@pytest.fixture
def resources(card: EmbedderCard) -> Iterator[RerankerResources]:
    cards = CardLibrary(EmbedderCard, "embedder.model.name", ())
    cards._cards.update(tiny=card, dense=dataclasses.replace(card, vectors="dense"))
    yield resources_of(embedders=cards)


def test_weights_are_those_of_plain_transformers(card: EmbedderCard, folder: Path) -> None:
    model = SparseModel(card, values=MemoryValues(), machine=PLAIN)
    expected = reference_weights(folder / "bare" if (folder / "bare").exists() else folder, TEXTS)
    for purpose in ("query", "document"):
        np.testing.assert_allclose(model.vectors(TEXTS, purpose).toarray(), expected, atol=2e-5)  # type: ignore[arg-type]
    alone = np.concatenate([model.vectors([text], "query").toarray() for text in TEXTS])
    np.testing.assert_allclose(alone, expected, atol=2e-5)


def test_each_text_is_encoded_once_and_prompts_count(card: EmbedderCard) -> None:
    values, spent = MemoryValues(), list[tuple[str, float, float]]()
    model = SparseModel(card, values=values, machine=PLAIN, spend=lambda *what: spent.append(what))
    first = model.vectors([*TEXTS, *TEXTS], "document")
    assert model.vectors(TEXTS, "document").shape == (5, 30522) and len(spent) == 1 and spent[0][0] == "embed tiny"
    assert (first[:5] != first[5:]).nnz == 0
    asked = SparseModel(dataclasses.replace(card, query_prompt="query: "), values=values, machine=PLAIN)
    assert asked.key != model.key and (asked.vectors(TEXTS, "query") != model.vectors(TEXTS, "query")).nnz > 0
    small = SparseModel(dataclasses.replace(card, dimensions=100), values=MemoryValues(), machine=PLAIN)
    with pytest.raises(ModelRefused, match="weighs 30522 words; its card says 100"):
        small.vectors(TEXTS, "query")


def test_the_index_adds_up_products_and_keeps_to_what_is_allowed(resources: RerankerResources, tmp_path: Path) -> None:
    index = Sparse(name="tiny").bind(resources)
    index.build_from_texts(tmp_path, [TEXTS[:2], TEXTS[2:]], len(TEXTS))
    opened, model = index.open(tmp_path), index._model
    scores = (model.vectors(TEXTS, "query") @ model.vectors(TEXTS, "document").T).toarray()
    found = opened.search(TEXTS, 3)
    for row, expected in enumerate(scores):
        best = np.lexsort((np.arange(5), -expected))[:3]
        assert found.chunks[row].tolist() == best.tolist()
        np.testing.assert_allclose(found.scores[row], expected[best], rtol=1e-4)
    only = opened.search(TEXTS[:1], 3, allowed=np.array([2, 4], np.int32))
    assert set(only.chunks[0].tolist()) <= {2, 4, -1} and 2 in only.chunks[0]


def test_each_kind_of_model_has_its_place(resources: RerankerResources) -> None:
    with pytest.raises(ImpossiblePipeline, match="the slot for it is the embedder"):
        Sparse(name="dense").find_card(resources.rerankers, resources.embedders)
    shelf = embedder_card_library([conf_folder()])
    assert {name for name in shelf.names() if shelf.read(name).vectors == "sparse"} == {
        "opensearch_sparse_doc_v3_distill",
        "splade_v3",
    }
