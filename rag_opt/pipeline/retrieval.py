"""Searching: what each index returns for each question, stored by all that determined it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_opt.core import strict as config
from rag_opt.core.arrays import FloatArray
from rag_opt.core.digests import item_key
from rag_opt.core.questions import Question
from rag_opt.core.rank_fusion import combine, reciprocal_ranks
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.source_digest import source_digest
from rag_opt.parts.index_queries import IndexQuery
from rag_opt.pipeline.stage_timer import StageTimer
from rag_opt.store.values import Values

Vectors = NDArray[np.float32]
Timed = tuple[RankedLists, FloatArray]
_FUSED_K = 60  # of the lists of several rewordings of one question


class Retrieval:
    """The indexes of one pipeline. `allowed` turns a question's filters into the rows of chunks that they leave."""

    def __init__(
        self,
        *,
        index_keys: Mapping[str, str],
        index_parts: Mapping[str, Any],
        open_index: Callable[[str], Any],
        allowed: Callable[[Mapping[str, Any]], NDArray[np.int32] | None],
        values: Values,
        stage_timer: StageTimer,
    ) -> None:
        self._keys, self._parts = index_keys, index_parts
        self._open, self._allowed = open_index, allowed
        self._values, self._stage_timer = values, stage_timer

    def plain(self, name: str, index_query: IndexQuery, questions: Sequence[Question], vectors: Vectors) -> Timed:
        """The list of each question as it was asked, and the milliseconds that it took when first searched for."""

        def search(positions: list[int]) -> list[tuple[RankedLists, float]]:
            return [self._one(name, index_query, questions[i], vectors[i : i + 1]) for i in positions]

        return self._stored(name, index_query, list_keys(self._keys[name], index_query, questions), search)

    def fed_back(
        self, name: str, index_query: IndexQuery, questions: Sequence[Question], vectors: Vectors, part: Any
    ) -> Timed:
        """The same by vectors that a query part refined with the first chunks found."""
        keys = list_keys(self._keys[name], index_query, questions, query=query_facts(part))

        def search(positions: list[int]) -> list[tuple[RankedLists, float]]:
            usage = [questions[i] for i in positions]
            first, first_ms = self.plain(name, index_query, usage, vectors[positions])
            index, found = self._open(name), list[tuple[RankedLists, float]]()
            for row, question in enumerate(usage):
                started = time.perf_counter()
                chunks = first.chunks[row][first.chunks[row] >= 0][: part.feedback]
                vector = vectors[positions[row]]
                asked_as = index.projected(vector[None])[0] if hasattr(index, "inner") else vector
                better = part.refine(asked_as, index.vectors(chunks))
                took_ms = (time.perf_counter() - started) * 1000 + float(first_ms[row])
                inside = getattr(index, "inner", index)  # what was refined is projected already
                one, search_ms = self._timed(inside, index_query, question, better[None])
                found.append((one, took_ms + search_ms))
            return found

        return self._stored(name, index_query, keys, search)

    def written(
        self,
        name: str,
        index_query: IndexQuery,
        questions: Sequence[Question],
        refined: Vectors,
        facts: Sequence[Any],
    ) -> Timed:
        """The same by vectors that texts of a language model refined; `facts`: what determined each of them."""
        keys = [
            list_keys(self._keys[name], index_query, [question], query=fact)[0]
            for question, fact in zip(questions, facts, strict=True)
        ]

        def search(positions: list[int]) -> list[tuple[RankedLists, float]]:
            return [self._one(name, index_query, questions[i], refined[i : i + 1]) for i in positions]

        return self._stored(name, index_query, keys, search)

    def fused(
        self, name: str, index_query: IndexQuery, reworded: Sequence[Sequence[Question]], vectors: Vectors
    ) -> Timed:
        """One list per question of those of its rewordings, by reciprocal ranks; their times add up. `vectors`: of all
        rewordings, one after another.
        """
        flat = [question for one in reworded for question in one]
        found, took_ms = self.plain(name, index_query, flat, vectors)
        lists, took, place = [], [], 0
        for one in reworded:
            rows = {str(row): _row(found, row) for row in range(place, place + len(one))}
            gains = {key: reciprocal_ranks(row, _FUSED_K) for key, row in rows.items()}
            best = combine(rows, gains, index_query.depth)
            lists.append((best.chunks[0][best.chunks[0] >= 0], best.scores[0][best.chunks[0] >= 0]))
            took.append(float(took_ms[place : place + len(one)].sum()))
            place += len(one)
        return RankedLists.stack(lists, index_query.depth), np.array(took, float)

    def _one(
        self, name: str, index_query: IndexQuery, question: Question, vector: Vectors
    ) -> tuple[RankedLists, float]:
        query: Any = vector if self._parts[name].reads == "vectors" else [question.text]
        return self._timed(self._open(name), index_query, question, query)

    def _timed(self, index: Any, index_query: IndexQuery, question: Question, query: Any) -> tuple[RankedLists, float]:
        started = time.perf_counter()
        found = index.search(query, index_query.depth, allowed=self._allowed(question.filters), **index_query.search)
        return found, (time.perf_counter() - started) * 1000

    def _stored(
        self,
        name: str,
        index_query: IndexQuery,
        keys: Sequence[bytes],
        search: Callable[[list[int]], list[tuple[RankedLists, float]]],
    ) -> Timed:
        def compute(positions: list[int]) -> list[bytes]:
            with self._stage_timer.timed(f"search {self._parts[name].kind}", len(positions)):
                return [pack_list(one.chunks[0], one.scores[0], took_ms) for one, took_ms in search(positions)]

        return unpack_lists(self._values.fill("candidates", keys, compute), index_query.depth)


def query_facts(part: Any) -> list[Any]:
    """What of a query part determines its lists."""
    return [part.kind, config.dump(part), source_digest(type(part).__module__)]


def list_keys(
    index_key: str, index_query: IndexQuery, questions: Sequence[Question], *, query: Any = None
) -> list[bytes]:
    """Under what an index's lists are stored, one per question; `query`: what of a query part determined them."""
    facts = [index_query.depth, dict(index_query.search), query]
    return [item_key(index_key, [*facts, q.text, dict(q.filters)]) for q in questions]


def _row(candidates: RankedLists, row: int) -> RankedLists:
    return RankedLists(candidates.chunks[row : row + 1], candidates.scores[row : row + 1])


def pack_list(chunks: NDArray[np.int32], scores: NDArray[np.float32], elapsed_ms: float) -> bytes:
    valid = chunks >= 0
    return np.float32(elapsed_ms).tobytes() + chunks[valid].tobytes() + scores[valid].tobytes()


def unpack_lists(values: Sequence[bytes], depth: int) -> Timed:
    elapsed_ms = np.array([np.frombuffer(value[:4], np.float32)[0] for value in values], float)
    rows = []
    for value in values:
        middle = 4 + (len(value) - 4) // 2
        rows.append((np.frombuffer(value[4:middle], np.int32), np.frombuffer(value[middle:], np.float32)))
    return RankedLists.stack(rows, depth), elapsed_ms
