"""Arithmetic on ranked lists, vectorised over questions (NumPy only)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.ranked_lists import RankedLists


def combine(lists: Mapping[str, RankedLists], gains: Mapping[str, NDArray[np.float64]], depth: int) -> RankedLists:
    """Sum what each list gives to a chunk; order by the sum, equal sums by the earlier chunk.

    `gains` by the names of the lists: [questions, depth], what each place of a list gives to the chunk in it.
    """
    chunks = np.concatenate([one.chunks for one in lists.values()], axis=1)
    given = np.where(chunks >= 0, np.concatenate([gains[name] for name in lists], axis=1), 0.0)
    order = np.argsort(chunks, axis=1, kind="stable")
    chunks, given = np.take_along_axis(chunks, order, 1), np.take_along_axis(given, order, 1)
    opens = np.ones(chunks.shape, bool)
    opens[:, 1:] = chunks[:, 1:] != chunks[:, :-1]
    group = np.cumsum(opens, axis=1) - 1
    row = np.arange(len(chunks))[:, None]
    total = np.zeros(chunks.shape)
    np.add.at(total, (np.broadcast_to(row, group.shape), group), given)
    unique = np.full(chunks.shape, -1, np.int32)
    unique[np.broadcast_to(row, group.shape)[opens], group[opens]] = chunks[opens]
    total = np.where(unique >= 0, total, -np.inf)
    best = np.lexsort((unique, -total), axis=1)[:, :depth]
    ids = np.take_along_axis(unique, best, 1)
    scores = np.take_along_axis(total, best, 1).astype(np.float32)
    if ids.shape[1] < depth:
        short = ((0, 0), (0, depth - ids.shape[1]))
        return RankedLists(np.pad(ids, short, constant_values=-1), np.pad(scores, short, constant_values=-np.inf))
    return RankedLists(ids, scores)


def reciprocal_ranks(candidates: RankedLists, k: int) -> NDArray[np.float64]:
    """[questions, depth]: 1 / (k + rank), rank from 1."""
    ranks = np.arange(1, candidates.chunks.shape[1] + 1)
    return np.broadcast_to(1.0 / (k + ranks), candidates.chunks.shape)


def at_most(candidates: RankedLists, group: NDArray[np.signedinteger], most: int) -> RankedLists:
    """The lists with only the best `most` chunks of each group; `group` [all chunks] says which each is of."""
    chunks = candidates.chunks
    mine = np.where(chunks >= 0, group[np.maximum(chunks, 0)], -1)
    order = np.argsort(mine, axis=1, kind="stable")  # within a group still best first
    ordered = np.take_along_axis(mine, order, 1)
    opens = np.ones(ordered.shape, bool)
    opens[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    columns = np.broadcast_to(np.arange(ordered.shape[1]), ordered.shape)
    place = columns - np.maximum.accumulate(np.where(opens, columns, 0), axis=1)
    kept = np.empty(chunks.shape, bool)
    np.put_along_axis(kept, order, (place < most) & (ordered >= 0), 1)
    front = np.argsort(~kept, axis=1, kind="stable")
    stays = np.take_along_axis(kept, front, 1)
    ids = np.where(stays, np.take_along_axis(chunks, front, 1), -1).astype(np.int32)
    scores = np.where(stays, np.take_along_axis(candidates.scores, front, 1), -np.inf).astype(np.float32)
    return RankedLists(ids, scores)


def reordered(candidates: RankedLists, scores: NDArray[np.float64]) -> RankedLists:
    """The first places of each list by `scores` [questions, places] (-inf: no chunk), of equal ones the earlier place
    first. What stands after them stays, scored below them one by one, so that scores never rise down a list.
    """
    places = scores.shape[1]
    order = np.argsort(-scores, axis=1, kind="stable")
    chunks, given = candidates.chunks.copy(), candidates.scores.copy()
    chunks[:, :places] = np.take_along_axis(candidates.chunks[:, :places], order, 1)
    given[:, :places] = np.take_along_axis(scores, order, 1)
    rest = chunks.shape[1] - places
    if rest:
        least = np.min(scores, axis=1, keepdims=True, initial=np.inf, where=np.isfinite(scores))
        below = np.where(np.isfinite(least), least, 0.0) - np.arange(1, rest + 1)
        given[:, places:] = np.where(chunks[:, places:] >= 0, below, -np.inf)
    return RankedLists(chunks, given)
