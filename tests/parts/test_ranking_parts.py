"""Retrievers, rerankers, packers and generators: what each does to lists and spans."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.core.documents import Span
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import kinds
from rag_opt.parts.generators.extractive import Extractive
from rag_opt.parts.packers.ranked import Ranked
from rag_opt.parts.rerankers.mmr import MaximalMarginalRelevance


def some_lists(seed: int, questions: int = 5, depth: int = 8, chunks: int = 30) -> RankedLists:
    generator = np.random.default_rng(seed)
    ids = np.stack([generator.permutation(chunks)[:depth] for _ in range(questions)]).astype(np.int32)
    scores = -np.sort(-generator.random((questions, depth)), axis=1).astype(np.float32)
    short = generator.integers(1, depth + 1, questions)
    gone = np.arange(depth) >= short[:, None]
    return RankedLists(np.where(gone, -1, ids).astype(np.int32), np.where(gone, -np.inf, scores).astype(np.float32))


@pytest.mark.parametrize("kind", sorted(kinds("retriever")))
@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_retriever_returns_chunks_of_its_lists_each_once_best_first(kind: str, seed: int) -> None:
    part = kinds("retriever")[kind](depth=8)
    lists = {name: some_lists(seed + i) for i, name in enumerate(part.index_queries())}
    fused = part.fuse(lists)
    for row, (ids, scores) in enumerate(zip(fused.chunks, fused.scores, strict=True)):
        kept = ids[ids >= 0].tolist()
        known = {c for one in lists.values() for c in one.chunks[row].tolist() if c >= 0}
        assert len(set(kept)) == len(kept) and set(kept) <= known
        assert len(kept) == min(8, len(known))
        assert (np.diff(scores[: len(kept)]) <= 1e-6).all()


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_weighted_at_its_ends_is_one_of_its_lists(weight: float) -> None:
    dense, lexical = some_lists(1), some_lists(2)
    fused = kinds("retriever")["weighted"](depth=8, weight=weight).fuse({"dense": dense, "lexical": lexical})
    alone = dense if weight else lexical
    for row in range(5):
        # the last of a list scales to 0, as does a chunk of the other list: above it the order is the list's own
        kept = [c for c in alone.chunks[row].tolist() if c >= 0][:-1]
        assert fused.chunks[row, : len(kept)].tolist() == kept


def unit_vectors(count: int, seed: int = 3) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(count, 12)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_mmr_at_1_keeps_the_order() -> None:
    lists = some_lists(4)
    vectors = unit_vectors(30)
    done = MaximalMarginalRelevance(trade_off=1.0).rerank_by_vectors(lists, chunk_vectors=lambda rows: vectors[rows])
    assert (done.chunks == lists.chunks).all()


@given(seed=st.integers(0, 1000), trade_off=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_mmr_takes_what_its_definition_says(seed: int, trade_off: float) -> None:
    lists, vectors = some_lists(seed), unit_vectors(30)
    done = MaximalMarginalRelevance(trade_off=trade_off).rerank_by_vectors(
        lists, chunk_vectors=lambda rows: vectors[rows]
    )
    for row in range(len(lists.chunks)):
        ids = [c for c in lists.chunks[row].tolist() if c >= 0]
        values = lists.scores[row, : len(ids)].astype(float)
        spread = values.max() - values.min()
        relevance = (values - values.min()) / spread if spread > 0 else np.ones(len(ids))
        taken: list[int] = []
        for _ in ids:
            worth = {
                c: trade_off * relevance[i]
                - (1 - trade_off) * max((float(vectors[c] @ vectors[t]) for t in taken), default=0)
                for i, c in enumerate(ids)
                if c not in taken
            }
            chosen = done.chunks[row, len(taken)]
            assert worth[chosen] == pytest.approx(max(worth.values()), abs=1e-5)
            taken.append(int(chosen))


def test_mmr_alone_and_in_a_batch() -> None:
    lists, vectors = some_lists(9), unit_vectors(30)
    part = MaximalMarginalRelevance(trade_off=0.4)
    together = part.rerank_by_vectors(lists, chunk_vectors=lambda rows: vectors[rows])
    for row in range(5):
        one = RankedLists(lists.chunks[row : row + 1], lists.scores[row : row + 1])
        assert (
            part.rerank_by_vectors(one, chunk_vectors=lambda rows: vectors[rows]).chunks == together.chunks[row]
        ).all()


def by_characters(span: Span) -> int:
    return span.end - span.start


def test_packing_merges_overlaps_at_the_place_of_the_best() -> None:
    hits = [Span("a", 10, 20), Span("b", 0, 10), Span("a", 18, 30), Span("a", 5, 10)]
    packed = Ranked(context_tokens=1000).pack(hits, count=by_characters)
    assert packed.passages == (Span("a", 5, 30), Span("b", 0, 10))
    assert (packed.kept, packed.tokens) == (4, 35)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 90), st.integers(1, 30)), max_size=12),
    st.integers(16, 120),
)
@settings(deadline=None)
def test_packing_never_exceeds_its_budget(raw: list[tuple[str, int, int]], budget: int) -> None:
    hits = [Span(document, start, start + size) for document, start, size in raw]
    packed = Ranked(context_tokens=budget).pack(hits, count=by_characters)
    union = {(h.document_id, i) for h in hits[: packed.kept] for i in range(h.start, h.end)}
    assert packed.tokens == len(union) <= budget
    assert sum(map(by_characters, packed.passages)) == len(union)
    if packed.kept < len(hits):
        more = union | {
            (hits[packed.kept].document_id, i) for i in range(hits[packed.kept].start, hits[packed.kept].end)
        }
        assert len(more) > budget


SAID = {Span("d", 0, 5): "north", Span("d", 6, 11): "south", Span("d", 12, 16): "east"}
DIRECTIONS = {"north": [1.0, 0.0], "south": [0.8, 0.6], "east": [0.0, 1.0]}


def answer(part: Extractive, contexts: Sequence[Sequence[Span]]) -> list[tuple[str, bool]]:
    def vectors(texts: Sequence[str]) -> np.ndarray:
        return np.array([DIRECTIONS[text] for text in texts], np.float32).reshape(len(texts), 2)

    asked = np.array([[1.0, 0.0]] * len(contexts), np.float32)
    made = part.answer(asked, contexts, sentences=lambda s: [s], text=SAID.__getitem__, vectors=vectors)
    return [(one.text, one.refused) for one in made]


def test_extractive_answers_in_reading_order_and_refuses_below_its_threshold() -> None:
    everything = sorted(SAID)
    assert answer(Extractive(sentences=2, refuse_below=0.5), [everything]) == [("north south", False)]
    assert answer(Extractive(sentences=1, refuse_below=0.5), [everything[2:]]) == [("", True)]
    assert answer(Extractive(sentences=1, refuse_below=0.0), [everything[2:], []]) == [
        ("east", False),
        ("", True),
    ]


def test_where_a_question_has_one_list_alone_that_list_counts_whatever_its_weight() -> None:
    found = RankedLists(np.array([[9, 3, 7]], np.int32), np.array([[3.0, 2.0, 1.0]], np.float32))
    nothing = RankedLists(np.full((1, 3), -1, np.int32), np.zeros((1, 3), np.float32))
    for weight, lists in (
        (1.0, {"dense": nothing, "lexical": found}),
        (0.0, {"dense": found, "lexical": nothing}),
        (0.5, {"dense": found, "lexical": nothing}),
    ):
        for scaling in ("min_max", "z_score"):
            fused = kinds("retriever")["weighted"](weight=weight, scaling=scaling, depth=3, top_k=3).fuse(lists)
            assert fused.chunks.tolist() == [[9, 3, 7]], (weight, scaling)
