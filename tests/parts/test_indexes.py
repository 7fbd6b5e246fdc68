from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.parts.indexes.bm25 import BM25
from rag_opt.parts.indexes.chroma import Chroma, in_parts, part_sizes
from rag_opt.parts.indexes.exact import Exact

GRAPH = Chroma(exact_up_to=0)

TEXTS = [
    "red apples and pears",
    "green apples",
    "blue whales sing",
    "the stars",
    "whales and apples and whales",
]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    made = np.random.default_rng(0).normal(size=(300, 24)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_the_graph_of_chroma_finds_what_exact_search_finds(tmp_path: Path, vectors: np.ndarray) -> None:
    GRAPH.build_from_vectors(tmp_path, [vectors], len(vectors))
    index = GRAPH.open(tmp_path)
    found = index.search(vectors[:50], 10)
    exact = np.argsort(-(vectors[:50] @ vectors.T), axis=1)[:, :10]
    agree = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.chunks.tolist(), exact.tolist(), strict=True)])
    assert agree > 0.98
    np.testing.assert_allclose(found.scores[:, 0], 1, atol=1e-5)
    np.testing.assert_allclose(index.vectors(np.array([7, 3], np.int32)), vectors[[7, 3]], atol=1e-6)
    index.close()


def test_a_graph_that_finds_too_little_is_built_again_or_refused(tmp_path: Path) -> None:
    made = np.random.default_rng(0).normal(size=(4000, 96)).astype(np.float32)
    vectors = made / np.linalg.norm(made, axis=1, keepdims=True)
    few = Chroma(exact_up_to=0, ef_construction=10, max_neighbors=4)
    found = dict[float, float]()
    for wanted in (0.0, 0.6, 1.0):
        folder = tmp_path / str(wanted)
        graph = dataclasses.replace(few, least_recall=wanted)
        graph.build_from_vectors(folder, [vectors], len(vectors))
        recall = graph.recall(folder)
        assert recall is not None
        found[wanted] = recall
        if wanted < 1:
            asked = np.linspace(0, 3999, 200).astype(int)
            away = vectors[asked] + 0.5 * np.roll(vectors[asked], 101, axis=0)
            queries = away / np.linalg.norm(away, axis=1, keepdims=True)
            index = graph.open(folder)
            itself = (index.search(vectors[asked], 10).chunks == asked[:, None]).any(axis=1).mean()
            hits = index.search(queries, 10).chunks
            exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
            own = [len(set(a) & set(b)) / 10 for a, b in zip(hits.tolist(), exact.tolist(), strict=True)]
            assert abs(min(itself, float(np.mean(own))) - recall) < 0.02, "what is stored is what a search finds"
    assert found[0.0] < 0.6 <= found[0.6] < 1, found
    with pytest.raises(ImpossiblePipeline, match=r"finds \d+\.\d% of the nearest.*retriever exact compares all"):
        graph.open(tmp_path / "1.0")
    assert {path.name for path in (tmp_path / "1.0").iterdir()} == {"recall.json", "vector_of_chunk.npy"}
    assert Chroma().recall(tmp_path) is None and Exact().recall(tmp_path) is None, "where all are compared"


def test_the_graph_gives_the_same_alone_and_in_a_batch_and_after_a_copy(tmp_path: Path, vectors: np.ndarray) -> None:
    GRAPH.build_from_vectors(tmp_path / "a", [vectors], len(vectors))
    together = GRAPH.open(tmp_path / "a").search(vectors[:20], 15)
    again = GRAPH.open(tmp_path / "a")
    alone = np.concatenate([again.search(vectors[i : i + 1], 15).chunks for i in range(20)])
    assert (together.chunks == alone).all()


@pytest.mark.parametrize("count", [648, 5_901])  # in one part, and in two that differ by one
def test_the_graph_of_chroma_returns_the_same_each_time_it_is_opened(tmp_path: Path, count: int) -> None:
    generator = np.random.default_rng(0)
    centers = generator.normal(size=(40, 64))
    made = [centers[generator.integers(0, 40, n)] + generator.normal(size=(n, 64)) * 0.6 for n in (count, 100)]
    stored, asked = (
        one.astype(np.float32) / np.linalg.norm(one, axis=1, keepdims=True).astype(np.float32) for one in made
    )
    GRAPH.build_from_vectors(tmp_path, [stored[:500], stored[500:]], len(stored))
    found = []
    for _ in range(4):
        index = GRAPH.open(tmp_path)
        found.append(index.search(asked, 50).chunks)
        index.close()
    assert all((one == found[0]).all() for one in found[1:])


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 20))
def test_vectors_come_in_parts_of_nearly_one_size(blocks: list[int], most: int) -> None:
    rows = np.arange(sum(blocks), dtype=np.float32).reshape(-1, 1)
    cut = np.split(rows, np.cumsum(blocks)[:-1]) if blocks else []
    sizes = part_sizes(len(rows), most)
    parts = list(in_parts(cut, sizes))
    assert [len(part) for part in parts] == sizes and sum(sizes) == len(rows)
    assert all(0 < size <= most for size in sizes) and (not sizes or max(sizes) - min(sizes) <= 1)
    assert not parts or (np.concatenate(parts) == rows).all()


def test_chroma_built_ten_times_answers_the_same_and_as_exact_search_does(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    stored, asked = (
        one / np.linalg.norm(one, axis=1, keepdims=True)
        for one in (generator.normal(size=(count, 64)).astype(np.float32) for count in (257, 1000))
    )
    (tmp_path / "exact").mkdir()
    Exact().build_from_vectors(tmp_path / "exact", [stored], len(stored))
    expected = Exact().open(tmp_path / "exact").search(asked, 20)
    for turn in range(10):
        folder = tmp_path / str(turn)
        Chroma().build_from_vectors(folder, [stored], len(stored))
        found = Chroma().open(folder).search(asked, 20)
        assert (found.chunks == expected.chunks).all()
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


def test_chroma_leaves_the_stored_folder_as_it_was(tmp_path: Path, vectors: np.ndarray) -> None:
    Chroma().build_from_vectors(tmp_path, [vectors], len(vectors))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    index = Chroma().open(tmp_path)
    index.search(vectors[:3], 5)
    index.close()
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_filters_apply_before_ranking(tmp_path: Path, vectors: np.ndarray) -> None:
    Chroma().build_from_vectors(tmp_path / "dense", [vectors], len(vectors))
    BM25().build_from_texts(tmp_path / "lexical", [TEXTS], len(TEXTS))
    allowed = np.array([5, 9, 11], np.int32)
    dense = Chroma().open(tmp_path / "dense").search(vectors[:4], 10, allowed=allowed)
    assert set(dense.chunks.ravel().tolist()) == {-1, 5, 9, 11}
    lexical = BM25().open(tmp_path / "lexical").search(["apples whales"], 10, allowed=np.array([1, 2], np.int32))
    assert sorted(c for c in lexical.chunks[0].tolist() if c >= 0) == [1, 2]


def test_bm25_equals_bm25s(tmp_path: Path) -> None:
    import bm25s

    BM25(k1=0.9, b=0.4, stop_words="english").build_from_texts(tmp_path, [TEXTS[:2], TEXTS[2:]], len(TEXTS))
    found = BM25().open(tmp_path).search(["whales and apples"], 5)
    theirs = bm25s.BM25(k1=0.9, b=0.4)
    theirs.index(bm25s.tokenize(TEXTS, stopwords="english", show_progress=False), show_progress=False)
    words = bm25s.tokenize(["whales and apples"], stopwords="english", return_ids=False, show_progress=False)
    documents, scores = theirs.retrieve(words, k=4, show_progress=False)
    assert found.chunks[0, :4].tolist() == documents[0].tolist()
    np.testing.assert_allclose(found.scores[0, :4], scores[0], rtol=1e-5)


@pytest.mark.parametrize("query", ["", "the", "zebra", "!!!"])
def test_bm25_returns_nothing_for_words_it_does_not_know(tmp_path: Path, query: str) -> None:
    BM25(stop_words="english").build_from_texts(tmp_path, [TEXTS[:2], TEXTS[2:]], len(TEXTS))
    assert (BM25().open(tmp_path).search([query], 3).chunks == -1).all()


def test_bm25_of_texts_without_words(tmp_path: Path) -> None:
    BM25().build_from_texts(tmp_path, [["!", "?"]], 2)
    assert (BM25().open(tmp_path).search(["anything"], 2).chunks == -1).all()
