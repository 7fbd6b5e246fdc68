"""Arithmetic on ranked lists, vectorised over questions (NumPy only)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rag_opt.records import Candidates


def combine(lists: Mapping[str, Candidates], gains: Mapping[str, NDArray[np.float64]], depth: int) -> Candidates:
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
        return Candidates(np.pad(ids, short, constant_values=-1), np.pad(scores, short, constant_values=-np.inf))
    return Candidates(ids, scores)


def min_max(candidates: Candidates) -> NDArray[np.float64]:
    """Scores of each list mapped to [0, 1]; a list of equal scores becomes all ones; no chunk gives 0."""
    valid = candidates.chunks >= 0
    scores = candidates.scores.astype(np.float64)
    high = np.max(scores, axis=1, keepdims=True, initial=-np.inf, where=valid)
    low = np.min(scores, axis=1, keepdims=True, initial=np.inf, where=valid)
    some = high > -np.inf
    spread = np.where(some, high - low, 0.0)
    flat = spread <= 0
    scaled = (np.where(valid, scores, 0.0) - np.where(some, low, 0.0)) / np.where(flat, 1.0, spread)
    return np.where(valid, np.where(flat, 1.0, scaled), 0.0)


def z_scores(candidates: Candidates) -> NDArray[np.float64]:
    """Standard deviations of each list that a score lies above the list's worst; no chunk gives 0.

    Shifted so that the worst is 0 and not negative: a chunk that is in the list is never worse than one that is not.
    """
    valid = candidates.chunks >= 0
    count = np.maximum(valid.sum(axis=1, keepdims=True), 1)
    scores = np.where(valid, candidates.scores.astype(np.float64), 0.0)
    mean = scores.sum(axis=1, keepdims=True) / count
    spread = np.sqrt((np.where(valid, scores - mean, 0.0) ** 2).sum(axis=1, keepdims=True) / count)
    low = np.min(scores, axis=1, keepdims=True, initial=np.inf, where=valid)
    above = (scores - np.where(np.isfinite(low), low, 0.0)) / np.where(spread > 0, spread, 1.0)
    return np.where(valid, np.where(spread > 0, above, 1.0), 0.0)


def reciprocal_ranks(candidates: Candidates, k: int) -> NDArray[np.float64]:
    """[questions, depth]: 1 / (k + rank), rank from 1."""
    ranks = np.arange(1, candidates.chunks.shape[1] + 1)
    return np.broadcast_to(1.0 / (k + ranks), candidates.chunks.shape)


def at_most(candidates: Candidates, group: NDArray[np.signedinteger], most: int) -> Candidates:
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
    return Candidates(ids, scores)


def reordered(candidates: Candidates, scores: NDArray[np.float64]) -> Candidates:
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
    return Candidates(chunks, given)
