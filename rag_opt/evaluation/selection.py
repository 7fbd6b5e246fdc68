"""Choosing the winner on questions that the search never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.evaluation.intervals import Interval, mean_interval, paired_gain

MARGIN = 0.01


@dataclass(frozen=True)
class Finalist:
    """A trial with its scores on the untouched questions. `cost`: what breaks ties, cheaper first.

    `scores` are oriented so that higher is better.
    """

    number: int
    scores: FloatArray
    cost: tuple[float, ...]


@dataclass(frozen=True)
class Choice:
    """`winner` is the position of the chosen finalist, `best` of the one with the best mean.

    `alike`: positions that cannot be told apart from the best (their paired interval reaches zero).
    """

    winner: int
    best: int
    alike: tuple[int, ...]
    intervals: tuple[Interval, ...]
    shortfalls: tuple[Interval, ...]


def choose(finalists: Sequence[Finalist], clusters: Sequence[str], *, margin: float = MARGIN) -> Choice:
    """The cheapest finalist whose paired shortfall from the best mean is at most min(one standard error, margin).

    The set that cannot be told apart is reported, not chosen from: taking its cheapest would lose 2 to 3
    points with 40 to 120 questions.
    """
    means = [np.nan_to_num(np.nanmean(one.scores), nan=-np.inf) if len(one.scores) else -np.inf for one in finalists]
    best = int(np.argmax(means))
    shortfalls = tuple(paired_gain(finalists[best].scores, one.scores, clusters) for one in finalists)
    close = [i for i, s in enumerate(shortfalls) if i == best or s.mean <= min(s.error, margin)]
    winner = min(close, key=lambda i: (finalists[i].cost, finalists[i].number))
    alike = tuple(i for i, s in enumerate(shortfalls) if i == best or s.low <= 0)
    intervals = tuple(mean_interval(one.scores, clusters) for one in finalists)
    return Choice(winner, best, alike, intervals, shortfalls)
