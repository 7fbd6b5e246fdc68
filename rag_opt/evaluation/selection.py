"""Choice of the winner by its scores on the held-out questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.evaluation.intervals import Interval, mean_interval, paired_gain

MARGIN = 0.01  # in units of the score: how far below the best a cheaper winner may be


@dataclass(frozen=True)
class Finalist:
    """A trial with its scores on the held-out questions.

    `scores`: one per question, oriented so that higher is better. `cost`: numbers that are compared in their order,
    lower first.
    """

    number: int
    scores: FloatArray
    cost: tuple[float, ...]


@dataclass(frozen=True)
class Choice:
    """The chosen finalist and what it was compared with; finalists are named by their position.

    `winner`: the chosen one. `best`: the one with the best mean. `indistinguishable`: those that are statistically
    indistinguishable from the winner (their paired interval holds zero), the winner among them. `intervals` of the
    means, and `shortfalls`: paired intervals of how far each is below the best, one for each finalist.
    """

    winner: int
    best: int
    indistinguishable: tuple[int, ...]
    intervals: tuple[Interval, ...]
    shortfalls: tuple[Interval, ...]


def choose(finalists: Sequence[Finalist], clusters: Sequence[str], *, margin: float = MARGIN) -> Choice:
    """Return the cheapest finalist whose paired shortfall from the best is at most min(one standard error, margin).

    `clusters`: the cluster of each question. Finalists that are statistically indistinguishable from the winner are
    reported, not chosen from: taking the cheapest of them would lose 2 to 3 points with 40 to 120 questions.
    """
    means = [_mean_or_worst(finalist.scores) for finalist in finalists]
    best = int(np.argmax(means))
    shortfalls = tuple(paired_gain(finalists[best].scores, finalist.scores, clusters) for finalist in finalists)
    close = [i for i, s in enumerate(shortfalls) if i == best or s.mean <= min(s.error, margin)]
    winner = min(close, key=lambda i: (finalists[i].cost, finalists[i].number))
    gaps = [paired_gain(finalists[winner].scores, finalist.scores, clusters) for finalist in finalists]
    indistinguishable = tuple(i for i, gap in enumerate(gaps) if i == winner or gap.low <= 0 <= gap.high)
    intervals = tuple(mean_interval(finalist.scores, clusters) for finalist in finalists)
    return Choice(winner, best, indistinguishable, intervals, shortfalls)


def _mean_or_worst(scores: FloatArray) -> float:
    """Return the mean over scored questions, minus infinity where there is none."""
    return float(np.nan_to_num(np.nanmean(scores), nan=-np.inf)) if len(scores) else -np.inf
