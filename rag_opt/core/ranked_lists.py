"""Ranked lists of chunks for many questions at once, and the chunk columns that their rows refer to."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class RankedLists:
    """Ranked chunks for many questions: two arrays of [questions, depth], best first.

    `chunks` holds rows of the chunk table (-1 where a list is shorter), `scores` what the ranker gave
    (-inf where there is no chunk). Higher is better.
    """

    chunks: NDArray[np.int32]
    scores: NDArray[np.float32]

    @functools.cached_property
    def min_max_scores(self) -> FloatArray:
        """[questions, depth]: scores mapped to [0, 1] from the worst to the best of each list (`min_max`)."""
        return min_max(self)

    @functools.cached_property
    def z_scores(self) -> FloatArray:
        """[questions, depth]: standard deviations above the worst of each list (`z_scores`)."""
        return z_scores(self)

    def cut(self, depth: int) -> RankedLists:
        """Return the first `depth` ranks."""
        return RankedLists(self.chunks[:, :depth], self.scores[:, :depth])

    @staticmethod
    def stack(rows: Sequence[tuple[NDArray[np.int32], NDArray[np.float32]]], depth: int) -> RankedLists:
        """Return lists of `depth` ranks from (chunks, scores) of each question, which may be shorter or longer."""
        chunks = np.full((len(rows), depth), -1, np.int32)
        scores = np.full((len(rows), depth), -np.inf, np.float32)
        for row, (ids, values) in enumerate(rows):
            chunks[row, : len(ids)] = ids[:depth]
            scores[row, : len(values)] = values[:depth]
        return RankedLists(chunks, scores)

    @staticmethod
    def of_scores(
        rows: Iterable[NDArray[np.floating[Any]]], depth: int, *, allowed: NDArray[np.int32] | None = None
    ) -> RankedLists:
        """Return the `depth` best chunks of each question from its scores of all chunks; of equal ones the first.

        A chunk whose score is not above 0, or that is not among `allowed`, is in no list.
        """
        best: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = []
        for scores in rows:
            able = scores > 0
            if allowed is not None:
                able = np.zeros(len(scores), bool)
                able[allowed] = scores[allowed] > 0
            kept = np.flatnonzero(able)
            if depth < len(kept):  # all that equal the last one stay: which of them are first is for their rows to say
                kept = kept[scores[kept] >= -np.partition(-scores[kept], depth - 1)[depth - 1]]
            order = np.lexsort((kept, -scores[kept]))
            best.append((kept[order].astype(np.int32), scores[kept][order].astype(np.float32)))
        return RankedLists.stack(best, depth)


@dataclass(frozen=True)
class ChunkColumns:
    """All chunks of a corpus, in the order of their documents and starts.

    Each array has a row per chunk: row of its document in the corpus, start and end in characters, size in tokens of
    the embedder.
    """

    document: NDArray[np.int32]
    start: IntArray
    end: IntArray
    tokens: IntArray

    def __len__(self) -> int:
        return len(self.document)


def min_max(lists: RankedLists) -> FloatArray:
    """Return the scores of each list mapped to [0, 1]. A list of equal scores becomes all ones; no chunk gives 0."""
    valid = lists.chunks >= 0
    scores = lists.scores.astype(np.float64)
    high = np.max(scores, axis=1, keepdims=True, initial=-np.inf, where=valid)
    low = np.min(scores, axis=1, keepdims=True, initial=np.inf, where=valid)
    filled = high > -np.inf
    spread = np.where(filled, high - low, 0.0)
    flat = spread <= 0
    scaled = (np.where(valid, scores, 0.0) - np.where(filled, low, 0.0)) / np.where(flat, 1.0, spread)
    return np.where(valid, np.where(flat, 1.0, scaled), 0.0)


def z_scores(lists: RankedLists) -> FloatArray:
    """Return how many standard deviations of its list a score lies above the list's worst; no chunk gives 0.

    Shifted so that the worst is 0 and not negative: a chunk that is in the list is never worse than one that is not.
    """
    valid = lists.chunks >= 0
    count = np.maximum(valid.sum(axis=1, keepdims=True), 1)
    scores = np.where(valid, lists.scores.astype(np.float64), 0.0)
    mean = scores.sum(axis=1, keepdims=True) / count
    spread = np.sqrt((np.where(valid, scores - mean, 0.0) ** 2).sum(axis=1, keepdims=True) / count)
    low = np.min(scores, axis=1, keepdims=True, initial=np.inf, where=valid)
    above = (scores - np.where(np.isfinite(low), low, 0.0)) / np.where(spread > 0, spread, 1.0)
    return np.where(valid, np.where(spread > 0, above, 1.0), 0.0)
