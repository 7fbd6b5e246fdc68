"""Indexes, expanders and feedback in detail: what each setting does to a list."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.core.rank_fusion import limit_per_group, reorder
from rag_opt.core.ranked_lists import ChunkColumns, RankedLists, z_scores
from rag_opt.parts.expanders.parent import Parent
from rag_opt.parts.expanders.window import Window
from rag_opt.parts.indexes.bm25 import BM25
from rag_opt.parts.indexes.chroma import Chroma
from rag_opt.parts.indexes.exact import Exact
from rag_opt.parts.queries.prf import RocchioFeedback
from tests.parts.test_ranking_parts import some_lists

TEXTS = [
    "Red apples and pears grow on trees.",
    "Green apples; apples again.",
    "Blue whales sing in the oceans.",
    "The stars are far away.",
    "Whales and apples and whales, running and run.",
    "Nothing to see.",
    "Somewhere else entirely.",
    "Bread rises slowly.",
    "Silt settles.",
]


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    random = np.random.default_rng(3)
    centers = random.normal(size=(20, 48))
    return unit(centers[random.integers(0, 20, 1200)] + 0.5 * random.normal(size=(1200, 48)))


def best(vectors: np.ndarray, query: np.ndarray, depth: int) -> list[int]:
    return np.lexsort((np.arange(len(vectors)), -(vectors @ query)))[:depth].tolist()


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_exact_search_finds_the_nearest(tmp_path: Path, vectors: np.ndarray, precision: Any) -> None:
    part = Exact(precision=precision)
    part.build_from_vectors(tmp_path, [vectors[:500], vectors[500:]], len(vectors))
    index = part.open(tmp_path)
    found = index.search(vectors[:40], 10)
    agree = [len(set(found.chunks[i].tolist()) & set(best(vectors, vectors[i], 10))) / 10 for i in range(40)]
    assert np.mean(agree) == 1.0 if precision == "float32" else np.mean(agree) > 0.99
    np.testing.assert_allclose(found.scores[:, 0], 1, atol=1e-5)  # scored again in float32
    alone = np.concatenate([index.search(vectors[i : i + 1], 10).chunks for i in range(40)])
    assert (alone == found.chunks).all()
    few = index.search(vectors[:3], 10, allowed=np.array([4, 9], np.int32))
    assert {c for c in few.chunks.ravel().tolist() if c >= 0} == {4, 9}
    np.testing.assert_array_equal(index.vectors(np.array([7, 3], np.int32)), vectors[[7, 3]])


def test_int8_takes_a_quarter_of_the_memory(tmp_path: Path, vectors: np.ndarray) -> None:
    Exact(precision="int8").build_from_vectors(tmp_path, [vectors], len(vectors))
    with np.load(tmp_path / "codes.npz") as arrays:
        assert arrays["codes"].nbytes * 4 == vectors.nbytes
        error = np.abs(arrays["codes"] * arrays["step"] + arrays["middle"] - vectors).max(axis=0)
        assert (error <= arrays["step"] / 2 + 1e-6).all()


def test_an_index_of_nothing(tmp_path: Path) -> None:
    for precision in ("float32", "int8"):
        folder = tmp_path / precision
        folder.mkdir()
        Exact(precision=precision).build_from_vectors(folder, [], 0)  # type: ignore[arg-type]
        assert (Exact().open(folder).search(np.ones((1, 1), np.float32), 3).chunks == -1).all()


def test_ef_search_decides_how_well_chroma_looks(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    stored = unit(random.normal(size=(4000, 64)))
    asked = unit(random.normal(size=(60, 64)))
    Chroma(exact_up_to=0).build_from_vectors(tmp_path, [stored], len(stored))
    index = Chroma(exact_up_to=0).open(tmp_path)

    def recall(ef_search: int) -> float:
        found = index.search(asked, 10, settings={"ef_search": ef_search}).chunks
        return float(np.mean([len(set(found[i].tolist()) & set(best(stored, asked[i], 10))) / 10 for i in range(60)]))

    few, many = recall(10), recall(400)
    assert few < many - 0.1 and many > 0.97
    assert recall(10) == few, "there and back again"
    index.close()


@pytest.mark.parametrize("method", ["lucene", "robertson", "atire", "bm25l", "bm25+"])
@pytest.mark.parametrize("stemmer", ["none", "english"])
def test_bm25_scores_as_bm25s_does(tmp_path: Path, method: Any, stemmer: Any) -> None:
    BM25(k1=0.9, b=0.4, method=method, stop_words="english", stemmer=stemmer).build_from_texts(
        tmp_path, [TEXTS], len(TEXTS)
    )
    found = BM25().open(tmp_path).search(["whales run with apples"], len(TEXTS))
    how = {"stopwords": "english", "stemmer": None if stemmer == "none" else Stemmer.Stemmer("english")}
    theirs = bm25s.BM25(k1=0.9, b=0.4, method=method, delta=1.0 if method == "bm25+" else 0.5)
    theirs.index(bm25s.tokenize(TEXTS, show_progress=False, **how), show_progress=False)
    words = bm25s.tokenize(["whales run with apples"], return_ids=False, show_progress=False, **how)[0]
    scores = theirs.get_scores([word for word in words if word in theirs.vocab_dict])
    order = [c for c in np.lexsort((np.arange(len(TEXTS)), -scores)).tolist() if c in {1, 2, 4, 0}]
    got = [c for c in found.chunks[0].tolist() if c >= 0]
    assert got == [c for c in order if c in got] and {1, 4} <= set(got)
    np.testing.assert_allclose(found.scores[0][: len(got)], scores[got], rtol=1e-5)
    assert 5 not in got and 3 not in got, "a chunk without any of the words is not found"


def test_words_of_a_language_are_the_corpus_s() -> None:
    asked = BM25(stop_words="corpus", stemmer="corpus")
    assert (asked.in_language("de").stop_words, asked.in_language("de").stemmer) == ("german", "german")
    assert (asked.in_language("ja").stop_words, asked.in_language("ja").stemmer) == ("none", "none")
    assert asked.in_language("") == BM25(stop_words="none", stemmer="none")
    assert BM25(stop_words="none").in_language("de").stop_words == "none"


@pytest.mark.parametrize(
    ("texts", "query", "expected"),
    [
        (["東京は日本の首都です。", "大阪は大きい。", "京都の寺"], "日本の首都", 0),
        (["北京是中国的首都", "上海很大", "广州"], "中国首都", 0),
        (["हिन्दी भाषा है", "नदी बहती है", "और"], "भाषा", 0),
        (["Cafe\u0301 au lait", "the noir", "eau"], "café", 0),
        (["Ёлка стоит в лесу", "река течёт", "дом"], "ёлка", 0),
        (["ภาษาไทยสวยงาม", "แม่น้ำไหล", "บ้าน"], "ภาษาไทย", 0),
    ],
)
def test_every_script_has_words(tmp_path: Path, texts: list[str], query: str, expected: int) -> None:
    BM25(stop_words="none").build_from_texts(tmp_path, [texts], len(texts))
    assert BM25().open(tmp_path).search([query], 3).chunks[0, 0] == expected


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_no_more_of_one_group_than_allowed(seed: int, most: int) -> None:
    lists, group = some_lists(seed), np.random.default_rng(seed).integers(0, 4, 30)
    kept = limit_per_group(lists, group, most)
    for row in range(len(lists.chunks)):
        expected, counts = [], dict.fromkeys(range(4), 0)
        for chunk, score in zip(lists.chunks[row].tolist(), lists.scores[row].tolist(), strict=True):
            if chunk >= 0 and counts[int(group[chunk])] < most:
                counts[int(group[chunk])] += 1
                expected.append((chunk, score))
        got = [(c, s) for c, s in zip(kept.chunks[row].tolist(), kept.scores[row].tolist(), strict=True) if c >= 0]
        assert got == expected


@given(st.integers(0, 10_000), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_a_new_order_of_the_first_places(seed: int, places: int) -> None:
    lists = some_lists(seed)
    scores = np.where(lists.chunks[:, :places] >= 0, np.random.default_rng(seed).normal(size=(5, places)), -np.inf)
    done = reorder(lists, scores)
    for row in range(5):
        valid = int((lists.chunks[row] >= 0).sum())
        head = min(places, valid)
        order = np.argsort(-scores[row, :head], kind="stable")
        assert done.chunks[row, :head].tolist() == lists.chunks[row, :head][order].tolist()
        assert done.chunks[row, head:].tolist() == lists.chunks[row, head:].tolist()
        assert (np.diff(done.scores[row, :valid]) <= 1e-6).all()


def test_z_scores_rise_from_the_worst() -> None:
    lists = RankedLists(np.array([[3, 1, -1], [2, 5, 7]], np.int32), np.array([[2, 1, -np.inf], [5, 5, 5]], np.float32))
    np.testing.assert_allclose(z_scores(lists), [[2.0, 0.0, 0.0], [1.0, 1.0, 1.0]])


def columns(*chunks: tuple[int, int, int]) -> ChunkColumns:
    document, start, end = np.array(chunks).T
    return ChunkColumns(document.astype(np.int32), start, end, (end - start).astype(np.int64))


def test_a_window_stays_in_its_document() -> None:
    table = columns((0, 0, 10), (0, 10, 20), (0, 18, 30), (1, 0, 5), (1, 6, 9))
    start, end = Window(before=1, after=1).expand(table)
    assert list(zip(start.tolist(), end.tolist(), strict=True)) == [(0, 20), (0, 30), (10, 30), (0, 9), (0, 9)]
    start, end = Window(before=0, after=0).expand(table)
    assert (start == table.start).all() and (end == table.end).all()


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 30)), min_size=1, max_size=20), st.integers(16, 60))
@settings(max_examples=80, deadline=None)
def test_a_parent_holds_its_chunk_and_no_more_than_its_size(raw: list[tuple[int, int]], size: int) -> None:
    chunks, place = [], {0: 0, 1: 0, 2: 0}
    for document, length in sorted(raw):
        chunks.append((document, place[document], place[document] + length))
        place[document] += length
    table = columns(*chunks)
    start, end = Parent(size=size).expand(table)
    assert (start <= table.start).all() and (end >= table.end).all()
    alone = (start == table.start) & (end == table.end)
    assert (((end - start) <= size) | alone).all()
    same = [(d, s, e) for d, s, e in zip(table.document.tolist(), start.tolist(), end.tolist(), strict=True)]
    for (d, s, e), (d2, s2, _) in itertools.pairwise(same):
        assert d != d2 or s2 >= e or s2 == s, "parents do not overlap"


def test_feedback_moves_a_question_towards_what_was_found() -> None:
    question, found = unit(np.array([[1.0, 0, 0]]))[0], unit(np.array([[0, 1.0, 0], [0, 0, 1.0]]))
    moved = RocchioFeedback(feedback=1, weight=0.5).refine_by_chunks(question, found)
    np.testing.assert_allclose(moved, [2**-0.5, 2**-0.5, 0], atol=1e-6)
    np.testing.assert_array_equal(RocchioFeedback(weight=0.0).refine_by_chunks(question, found), question)
    np.testing.assert_array_equal(RocchioFeedback().refine_by_chunks(question, found[:0]), question)
