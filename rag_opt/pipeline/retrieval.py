"""Retrieval: what each index returns for each question, stored by all that determined it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_opt.core import strict
from rag_opt.core.arrays import FloatArray, Vectors
from rag_opt.core.digests import canonical_json, item_key
from rag_opt.core.questions import Question
from rag_opt.core.rank_fusion import reciprocal_ranks, sum_gains
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.source_digest import source_digest
from rag_opt.parts.index_queries import IndexQuery
from rag_opt.parts.interfaces import FeedbackQuery, Index, Query, VectorIndex
from rag_opt.parts.open_indexes import FilteringVectorIndex, OpenIndex, OpenVectorIndex
from rag_opt.pipeline.chunk_vectors import Projected
from rag_opt.pipeline.stage_timer import StageTimer
from rag_opt.store.values import Values

Timed = tuple[RankedLists, FloatArray]  # lists, and the milliseconds of each
_FUSED_K = 60  # of the lists of several rewordings of one question


class Retrieval:
    """The indexes of one pipeline.

    `allowed` gives the chunks that may be returned for a question. `at_once`: how many questions an index is asked
    together; one, and each is timed by itself.
    """

    def __init__(
        self,
        *,
        index_keys: Mapping[str, str],
        index_parts: Mapping[str, Index],
        open_index: Callable[[str], OpenIndex],
        allowed: Callable[[Question], NDArray[np.int32] | None],
        values: Values,
        stage_timer: StageTimer,
        at_once: int = 1,
    ) -> None:
        self._at_once = at_once
        self._keys, self._parts = index_keys, index_parts
        self._open, self._allowed = open_index, allowed
        self._values, self._stage_timer = values, stage_timer

    def search(self, name: str, query: IndexQuery, questions: Sequence[Question], vectors: Vectors) -> Timed:
        """Return the list of each question as it was asked, and the milliseconds of its first search."""

        def compute(positions: list[int]) -> list[tuple[RankedLists, float]]:
            found: dict[int, tuple[RankedLists, float]] = {}
            for some in self._groups(positions, questions):
                found |= dict(
                    zip(some, self._several(name, query, [questions[i] for i in some], vectors[some]), strict=True)
                )
            return [found[position] for position in positions]

        return self._stored(name, query, list_keys(self._keys[name], query, questions), compute)

    def _groups(self, positions: Sequence[int], questions: Sequence[Question]) -> Iterator[list[int]]:
        """Yield positions of questions that may be searched for together: the same chunks may be returned for them."""
        alike: dict[bytes, list[int]] = {}
        for position in positions:
            limits = questions[position].filters, questions[position].exclude
            alike.setdefault(canonical_json(limits) if any(limits) else b"", []).append(position)
        for group in alike.values():
            yield from (group[first : first + self._at_once] for first in range(0, len(group), self._at_once))

    def search_with_feedback(
        self, name: str, query: IndexQuery, questions: Sequence[Question], vectors: Vectors, part: FeedbackQuery
    ) -> Timed:
        """Return the lists by vectors that a query part refined with the first chunks found."""
        keys = list_keys(self._keys[name], query, questions, query_facts=query_facts(part))

        def compute(positions: list[int]) -> list[tuple[RankedLists, float]]:
            some = [questions[i] for i in positions]
            first, first_ms = self.search(name, query, some, vectors[positions])
            index: Any = self._open(name)
            # what was refined is projected already
            inner: OpenVectorIndex | FilteringVectorIndex = index.inner if isinstance(index, Projected) else index
            lists: list[tuple[RankedLists, float]] = []
            for row, question in enumerate(some):
                started = time.perf_counter()
                chunks = first.chunks[row][first.chunks[row] >= 0][: part.feedback]
                vector = vectors[positions[row]]
                searched = index.projected(vector[None])[0] if isinstance(index, Projected) else vector
                refined = part.refine_by_chunks(searched, index.vectors(chunks))
                refined_ms = (time.perf_counter() - started) * 1000 + float(first_ms[row])
                found, search_ms = self._timed(inner, query, question, refined[None])
                lists.append((found, refined_ms + search_ms))
            return lists

        return self._stored(name, query, keys, compute)

    def search_vectors(
        self, name: str, query: IndexQuery, questions: Sequence[Question], refined: Vectors, facts: Sequence[object]
    ) -> Timed:
        """Return the lists by vectors that written passages refined; `facts`: what determined each vector."""
        keys = [
            list_keys(self._keys[name], query, [question], query_facts=fact)[0]
            for question, fact in zip(questions, facts, strict=True)
        ]

        def compute(positions: list[int]) -> list[tuple[RankedLists, float]]:
            return [self._one(name, query, questions[i], refined[i : i + 1]) for i in positions]

        return self._stored(name, query, keys, compute)

    def search_rewordings(
        self, name: str, query: IndexQuery, reworded: Sequence[Sequence[Question]], vectors: Vectors
    ) -> Timed:
        """Return one list per question, fused of those of its rewordings by reciprocal ranks; their times add up.

        `vectors`: of all rewordings, one after another.
        """
        flat = [question for rewordings in reworded for question in rewordings]
        found, took_ms = self.search(name, query, flat, vectors)
        lists, times_ms, first = [], [], 0
        for rewordings in reworded:
            rows = {str(row): _row(found, row) for row in range(first, first + len(rewordings))}
            gains = {key: reciprocal_ranks(row, _FUSED_K) for key, row in rows.items()}
            best = sum_gains(rows, gains, query.depth)
            lists.append((best.chunks[0][best.chunks[0] >= 0], best.scores[0][best.chunks[0] >= 0]))
            times_ms.append(float(took_ms[first : first + len(rewordings)].sum()))
            first += len(rewordings)
        return RankedLists.stack(lists, query.depth), np.array(times_ms, float)

    def _one(self, name: str, query: IndexQuery, question: Question, vector: Vectors) -> tuple[RankedLists, float]:
        return self._several(name, query, [question], vector)[0]

    def _several(
        self, name: str, query: IndexQuery, questions: Sequence[Question], vectors: Vectors
    ) -> list[tuple[RankedLists, float]]:
        """Return the list of each question and its share of the milliseconds; all have the limits of the first."""
        searched = vectors if isinstance(self._parts[name], VectorIndex) else [question.text for question in questions]
        lists, elapsed_ms = self._timed(self._open(name), query, questions[0], searched)
        return [(_row(lists, row), elapsed_ms / len(questions)) for row in range(len(questions))]

    def _timed(self, index: Any, query: IndexQuery, question: Question, searched: Any) -> tuple[RankedLists, float]:
        started = time.perf_counter()
        if isinstance(index, FilteringVectorIndex):
            found = index.search_fitting(searched, query.depth, filters=question.filters, exclude=question.exclude)
        else:
            found = index.search(searched, query.depth, allowed=self._allowed(question), settings=query.search)
        return found, (time.perf_counter() - started) * 1000

    def _stored(
        self,
        name: str,
        query: IndexQuery,
        keys: Sequence[bytes],
        search: Callable[[list[int]], list[tuple[RankedLists, float]]],
    ) -> Timed:
        def compute(positions: list[int]) -> list[bytes]:
            with self._stage_timer.timed(f"search {self._parts[name].kind}", len(positions)):
                return [pack_list(one.chunks[0], one.scores[0], took_ms) for one, took_ms in search(positions)]

        return unpack_lists(self._values.fill("candidates", keys, compute), query.depth)


def query_facts(part: Query) -> list[Any]:
    """Return what of a query part determines its lists."""
    return [part.kind, strict.dump(part), source_digest(type(part).__module__)]


def list_keys(
    index_key: str, query: IndexQuery, questions: Sequence[Question], *, query_facts: object = None
) -> list[bytes]:
    """Return the keys of an index's lists, one per question; `query_facts`: what of a query part determined them."""
    facts = [query.depth, dict(query.search), query_facts]
    return [item_key(index_key, [*facts, q.text, dict(q.filters), sorted(q.exclude)]) for q in questions]


def _row(lists: RankedLists, row: int) -> RankedLists:
    return RankedLists(lists.chunks[row : row + 1], lists.scores[row : row + 1])


def pack_list(chunks: NDArray[np.int32], scores: NDArray[np.float32], elapsed_ms: float) -> bytes:
    """Return one list as bytes: its milliseconds, chunks and scores."""
    valid = chunks >= 0
    return np.float32(elapsed_ms).tobytes() + chunks[valid].tobytes() + scores[valid].tobytes()


def unpack_lists(values: Sequence[bytes], depth: int) -> Timed:
    """Return what `pack_list` made of several lists, each of `depth` places."""
    elapsed_ms = np.array([np.frombuffer(value[:4], np.float32)[0] for value in values], float)
    rows = []
    for value in values:
        middle = 4 + (len(value) - 4) // 2
        rows.append((np.frombuffer(value[4:middle], np.int32), np.frombuffer(value[middle:], np.float32)))
    return RankedLists.stack(rows, depth), elapsed_ms
