"""Arithmetic on ranked lists, vectorised over questions (NumPy only)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.arrays import FloatArray, IntArray
from rag_opt.core.ranked_lists import RankedLists


def sum_gains(lists: Mapping[str, RankedLists], gains: Mapping[str, FloatArray], depth: int) -> RankedLists:
    """Return one list per question, ordered by the sum of what each list gives to a chunk.

    `gains` by the names of the lists: [questions, depth], what each rank of a list gives to the chunk that stands
    there. Of equal sums the earlier chunk comes first.
    """
    chunks = np.concatenate([ranked.chunks for ranked in lists.values()], axis=1)
    gain = np.where(chunks >= 0, np.concatenate([gains[name] for name in lists], axis=1), 0.0)
    order = np.argsort(chunks, axis=1, kind="stable")
    chunks, gain = np.take_along_axis(chunks, order, 1), np.take_along_axis(gain, order, 1)
    unique, total = _sum_by_chunk(chunks, gain)
    best = np.lexsort((unique, -total), axis=1)[:, :depth]
    ids = np.take_along_axis(unique, best, 1)
    scores = np.take_along_axis(total, best, 1).astype(np.float32)
    if ids.shape[1] < depth:
        missing = ((0, 0), (0, depth - ids.shape[1]))
        return RankedLists(np.pad(ids, missing, constant_values=-1), np.pad(scores, missing, constant_values=-np.inf))
    return RankedLists(ids, scores)


def _sum_by_chunk(chunks: NDArray[np.int32], gain: FloatArray) -> tuple[NDArray[np.int32], FloatArray]:
    """Return each chunk of a row once (-1 behind the last), and its total gain (-inf there); `chunks` ascending."""
    is_first = _starts_of_runs(chunks)
    group = np.cumsum(is_first, axis=1) - 1
    row = np.broadcast_to(np.arange(len(chunks))[:, None], group.shape)
    total = np.zeros(chunks.shape)
    np.add.at(total, (row, group), gain)
    unique = np.full(chunks.shape, -1, np.int32)
    unique[row[is_first], group[is_first]] = chunks[is_first]
    return unique, np.where(unique >= 0, total, -np.inf)


def reciprocal_ranks(lists: RankedLists, k: int) -> FloatArray:
    """Return [questions, depth]: 1 / (k + rank), rank from 1 (Cormack et al., 2009)."""
    ranks = np.arange(1, lists.chunks.shape[1] + 1)
    return np.broadcast_to(1.0 / (k + ranks), lists.chunks.shape)


def limit_per_group(lists: RankedLists, group: NDArray[np.signedinteger], limit: int) -> RankedLists:
    """Return the lists with only the best `limit` chunks of each group; `group` [all chunks] numbers the groups."""
    chunks = lists.chunks
    groups = np.where(chunks >= 0, group[np.maximum(chunks, 0)], -1)
    order = np.argsort(groups, axis=1, kind="stable")  # within a group still best first
    ordered = np.take_along_axis(groups, order, 1)
    columns = np.broadcast_to(np.arange(ordered.shape[1]), ordered.shape)
    rank_in_group = columns - np.maximum.accumulate(np.where(_starts_of_runs(ordered), columns, 0), axis=1)
    kept = np.empty(chunks.shape, bool)
    np.put_along_axis(kept, order, (rank_in_group < limit) & (ordered >= 0), 1)
    kept_first = np.argsort(~kept, axis=1, kind="stable")
    filled = np.take_along_axis(kept, kept_first, 1)
    ids = np.where(filled, np.take_along_axis(chunks, kept_first, 1), -1).astype(np.int32)
    scores = np.where(filled, np.take_along_axis(lists.scores, kept_first, 1), -np.inf).astype(np.float32)
    return RankedLists(ids, scores)


def reorder(lists: RankedLists, scores: FloatArray) -> RankedLists:
    """Return the lists with their first ranks ordered by new `scores` [questions, ranks] (-inf: no chunk).

    Of equal scores the earlier rank comes first. What stands behind the scored ranks stays there, scored below them one
    by one, so that scores never rise down a list.
    """
    scored = scores.shape[1]
    order = np.argsort(-scores, axis=1, kind="stable")
    chunks, new_scores = lists.chunks.copy(), lists.scores.copy()
    chunks[:, :scored] = np.take_along_axis(lists.chunks[:, :scored], order, 1)
    new_scores[:, :scored] = np.take_along_axis(scores, order, 1)
    rest = chunks.shape[1] - scored
    if rest:
        lowest = np.min(scores, axis=1, keepdims=True, initial=np.inf, where=np.isfinite(scores))
        below = np.where(np.isfinite(lowest), lowest, 0.0) - np.arange(1, rest + 1)
        new_scores[:, scored:] = np.where(chunks[:, scored:] >= 0, below, -np.inf)
    return RankedLists(chunks, new_scores)


def _starts_of_runs(values: IntArray | NDArray[np.signedinteger]) -> NDArray[np.bool_]:
    """Return where a row's value differs from the one before it; the first of a row always does."""
    starts = np.ones(values.shape, bool)
    starts[:, 1:] = values[:, 1:] != values[:, :-1]
    return starts
