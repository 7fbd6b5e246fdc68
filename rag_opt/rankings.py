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
