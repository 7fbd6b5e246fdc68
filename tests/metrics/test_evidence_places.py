"""Where the evidence got to, against a plain count over characters."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rag_opt.core.documents import Corpus, Document, Span
from rag_opt.core.questions import LostPassage, Question, WholeDocument
from rag_opt.core.ranked_lists import ChunkColumns
from rag_opt.metrics.evidence import RetrievedSpans
from rag_opt.metrics.evidence_places import locate_evidence

LENGTH = 40
CORPUS = Corpus(tuple(Document(name, name * LENGTH) for name in "ab"))
spans = st.tuples(st.integers(0, 1), st.integers(0, LENGTH - 1), st.integers(1, 15)).map(
    lambda t: (t[0], t[1], min(t[1] + t[2], LENGTH))
)


def _chunks(size: int) -> ChunkColumns:
    rows = [(d, s, min(s + size, LENGTH)) for d in range(2) for s in range(0, LENGTH, size)]
    document, start, end = (np.array(column) for column in zip(*rows, strict=True))
    return ChunkColumns(document.astype(np.int32), start, end, end - start)


def _retrieved(found: list[tuple[int, int, int]], ranks: int) -> RetrievedSpans:
    padded = [*found, *[(-1, 0, 0)] * (ranks - len(found))]
    return RetrievedSpans(*(np.array([[one[i] for one in padded]]) for i in range(3)))


@given(st.lists(spans, min_size=1, max_size=3), st.lists(spans, max_size=6), st.integers(1, 6), st.integers(5, 20))
def test_places_are_what_counting_characters_gives(
    needs: list[tuple[int, int, int]], ranked: list[tuple[int, int, int]], top: int, size: int
) -> None:
    evidence = tuple((Span("ab"[d], start, end),) for d, start, end in needs)
    questions, chunks = [Question("q", "?", evidence=evidence)], _chunks(size)
    places = locate_evidence(_retrieved(ranked[:top], top), _retrieved(ranked, 6), chunks, questions, CORPUS)
    gold = {(d, c) for d, start, end in needs for c in range(start, end)}
    covered, last = set[tuple[int, int]](), 0
    for rank, (d, start, end) in enumerate(ranked, start=1):
        new = {(d, c) for c in range(start, end)} & gold - covered
        covered |= new
        last = rank if new else last
    in_context = {(d, c) for d, start, end in ranked[:top] for c in range(start, end)} & gold
    assert np.isclose(places.in_context[0], len(in_context) / len(gold))
    assert np.isclose(places.in_list[0], len(covered) / len(gold))
    assert places.list_rank[0] == last if last else np.isnan(places.list_rank[0])
    own = {d for d, _, _ in needs}
    before = sum(d not in own for d, _, _ in ranked[: max(last - 1, 0)])
    assert places.others_before[0] == before if last else np.isnan(places.others_before[0])
    best = [
        max(max(0, min(e, end) - max(s, start)) for cd, s, e in _rows(chunks) if cd == d) / (end - start)
        for d, start, end in needs
    ]
    assert np.isclose(places.in_one_chunk[0], np.mean(best))


def _rows(chunks: ChunkColumns) -> list[tuple[int, int, int]]:
    return list(zip(chunks.document.tolist(), chunks.start.tolist(), chunks.end.tolist(), strict=True))


def test_documents_what_is_lost_and_questions_without_evidence() -> None:
    questions = [
        Question("document", "?", evidence=((WholeDocument("b"),),)),
        Question("lost", "?", evidence=((LostPassage("a", "gone"),), (Span("a", 0, 5),))),
        Question("none", "?"),
    ]
    ranked = RetrievedSpans(np.array([[0, 1], [0, 1], [0, 1]]), np.zeros((3, 2), int), np.full((3, 2), 10))
    places = locate_evidence(ranked.cut(1), ranked, _chunks(10), questions, CORPUS)
    assert places.in_context[0] == 0 and places.in_list[0] == 1 and places.list_rank[0] == 2
    assert places.lost.tolist()[:2] == [0, 0.5] and places.others_before[0] == 1
    assert all(np.isnan(column[2]) for column in (places.in_context, places.in_list, places.lost, places.in_one_chunk))
