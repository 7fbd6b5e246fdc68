"""The index of tokens against MaxSim by hand: exact to rounding; compressed with a recall that is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.models.reranker_cards import reranker_card_library
from rag_opt.models.reranker_resources import RerankerResources
from rag_opt.models.token_models import Tokens
from rag_opt.parts.indexes.late_interaction import BoundTokenIndex, TokenIndex
from tests.model_resources import resources_of

pytest.importorskip("lancedb")


class Letters:
    """A vector for each letter, and a little for its place; a text of spaces alone has none."""

    key = "letters"

    def tokens(self, texts: set[str], purpose: str) -> dict[str, Tokens]:
        random = np.random.default_rng(5)
        letters = random.standard_normal((128, 16)).astype(np.float32)
        found = {}
        for text in texts:
            rows = np.array([letters[ord(c) % 128] + 0.1 * n for n, c in enumerate(text) if c != " "], np.float32)
            rows = rows.reshape(-1, 16)
            found[text] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return found


def bound(cards: EmbedderCards, *, compressed: bool = False) -> BoundTokenIndex:
    return BoundTokenIndex(cards.read("minilm"), Letters(), compressed=compressed)  # type: ignore[arg-type]  # a set is a Collection


def by_hand(query: str, texts: list[str]) -> np.ndarray:
    said = Letters().tokens({query, *texts}, "document")
    return np.array([(said[query] @ said[t].T).max(axis=1).mean() if len(said[t]) else -9.0 for t in texts])


def test_every_chunk_is_compared_by_maxsim(cards: EmbedderCards, tmp_path: Path) -> None:
    words = ["bees dance", "rivers flow", " ", "yeast", "bread and honey", "a", "the danube is long"]
    texts = [f"{one} {other}".strip() or " " for one in words for other in words]
    index = bound(cards)
    index.build_from_texts(tmp_path, [texts[:20], texts[20:]], len(texts))
    opened = index.open(tmp_path)
    assert index.recall(tmp_path) is None
    found = opened.search(["honey bees", "danube"], 5)
    for row, query in enumerate(["honey bees", "danube"]):
        expected = by_hand(query, texts)
        np.testing.assert_allclose(found.scores[row], np.sort(expected)[::-1][:5], atol=1e-5)
        np.testing.assert_allclose(expected[found.chunks[row]], found.scores[row], atol=1e-5)
    only = opened.search(["honey bees"], 5, allowed=np.array([3, 9, 12], np.int32))
    assert set(only.chunks[0].tolist()) == {3, 9, 12, -1}
    assert (opened.search([" "], 5).chunks == -1).all()
    assert (opened.search(["x"], 5, allowed=np.zeros(0, np.int32)).chunks == -1).all()


def test_a_compressed_index_says_what_it_finds(cards: EmbedderCards, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abcdefghijkl "), 24)) for _ in range(400)]
    index = bound(cards, compressed=True)
    index.build_from_texts(tmp_path / "a", [texts], len(texts))
    recall = index.recall(tmp_path / "a")
    assert recall is not None and 0.3 < recall <= 1
    found, right = (
        index.open(tmp_path / "a").search(texts[:20], 10),
        np.argsort([-by_hand(q, texts) for q in texts[:20]]),
    )
    shares = [np.isin(right[row, :10], found.chunks[row]).mean() for row in range(20)]
    assert abs(float(np.mean(shares)) - recall) < 0.25
    few = bound(cards, compressed=True)
    few.build_from_texts(tmp_path / "b", [texts[:5]], 5)
    assert few.recall(tmp_path / "b") is None, "too little to compress: all are compared"
    assert index.key != bound(cards).key


def test_an_index_of_nothing_finds_nothing(cards: EmbedderCards, tmp_path: Path) -> None:
    index = bound(cards)
    index.build_from_texts(tmp_path, [[" "]], 1)
    assert (index.open(tmp_path).search(["bees"], 3).chunks == -1).all()


def test_only_models_with_tokens_will_do(cards: EmbedderCards) -> None:
    resources: RerankerResources = resources_of(embedders=cards, rerankers=reranker_card_library([]))
    for name, said in (("voyage_4", "runs behind a server"), ("splade_v3", "gives weights of words")):
        with pytest.raises(ImpossiblePipeline, match=said):
            TokenIndex(name=name).find_card(resources.rerankers, resources.embedders)
