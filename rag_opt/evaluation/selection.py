"""Choice of the winner by all questions that the finalists were asked, those of the search and the held-out ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.evaluation.intervals import bound_gains, paired_gain

# Of the deviation of scores over questions, how far below the best a cheaper winner may be: half a point where scores
# deviate by 0.4. Twice that costs 0.1 points more on average (docs/benchmarks.md).
MARGIN_SHARE = 0.0125
COST_TOLERANCE = 0.1  # of the larger cost: what differs by less costs the same
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Finalist:
    """A trial with its scores on all questions that it was asked.

    `scores`: one per question, oriented so that higher is better; NaN where there is none. `cost`: numbers that are
    compared in their order, lower first, where two are as good; what the objective prices already is not among them.
    `keeps_guards`: False for one that cannot win whatever its scores are. `full_cost`: all that a person may want to
    save, in their order; empty: the same as `cost`.
    """

    number: int
    scores: FloatArray
    cost: tuple[float, ...]
    keeps_guards: bool = True
    full_cost: tuple[float, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The chosen finalist and why; finalists are named by their position.

    `winner`: the chosen one. `best`: the one with the best mean of those that may win. `means` of all, a missing score
    counted as the worst that was seen. `margin`: how far below the best a cheaper one may be, in units of the score.
    `offered`: a cheaper one within the margin that is not the winner: it is below the baseline, or the objective prices
    what it saves.
    """

    winner: int
    best: int
    means: tuple[float, ...]
    margin: float
    offered: int | None


def choose(
    finalists: Sequence[Finalist],
    clusters: Sequence[str],
    *,
    baseline: int | None,
    beside: FloatArray | None = None,
) -> Choice | None:
    """Return the finalist of the best mean, or a cheaper one whose shortfall is within min(one standard error, margin).

    `clusters`: the cluster of each question. `baseline`: position of the baseline, if it is there. Who is below its
    mean cannot win, who breaks a guard neither. `beside`: scores of a baseline that is none of the finalists, NaN where
    it has none: a cheaper one may be below the best only where it is not below that one, on the questions of both.
    None where nobody may win. Finalists that are statistically indistinguishable from the best are not chosen from:
    taking the cheapest of them would lose 2 to 3 points with 40 to 120 questions.
    """
    scores = fill_missing([finalist.scores for finalist in finalists])
    means = [float(np.nanmean(column)) if not np.isnan(column).all() else -np.inf for column in scores]
    within_guards = [i for i, finalist in enumerate(finalists) if finalist.keeps_guards]
    may_win = [i for i in within_guards if baseline is None or means[i] >= means[baseline]]
    if not may_win:
        return None
    best = max(may_win, key=lambda i: (means[i], -finalists[i].number))
    margin = MARGIN_SHARE * float(np.nanstd(scores[best]))
    close = [i for i in within_guards if _is_close(scores, means, best, i, margin, clusters)]
    costs = [finalist.cost for finalist in finalists]
    full_costs = [finalist.full_cost or finalist.cost for finalist in finalists]
    able = [i for i in close if i in may_win and (i == best or _is_above(finalists[i].scores, beside))]
    winner = _cheapest(able, costs, finalists, means)
    cheapest = _cheapest(close, full_costs, finalists, means)
    offered = cheapest if is_cheaper(full_costs[cheapest], full_costs[winner]) else None
    return Choice(winner, best, tuple(means), margin, offered)


def _is_above(scores: FloatArray, beside: FloatArray | None) -> bool:
    return beside is None or not float(np.nanmean(scores - beside)) < 0


def fill_missing(columns: Sequence[FloatArray]) -> list[FloatArray]:
    """Return the columns with every missing score replaced by the worst that any column has for any question.

    So a failure never pays, whatever the question was. A question that no column has a score for (the objective does
    not apply to it) stays NaN.
    """
    stacked = np.stack(columns)
    missing = np.isnan(stacked)
    if missing.all():
        return list(stacked)
    return list(np.where(missing & ~missing.all(axis=0), np.nanmin(stacked), stacked))


def _is_close(
    scores: Sequence[FloatArray], means: Sequence[float], best: int, other: int, margin: float, clusters: Sequence[str]
) -> bool:
    if other == best:
        return True
    shortfall = means[best] - means[other]
    return shortfall <= min(margin, paired_gain(scores[best], scores[other], clusters).error)


def _cheapest(
    positions: Sequence[int], costs: Sequence[Sequence[float]], finalists: Sequence[Finalist], means: Sequence[float]
) -> int:
    """Return the cheapest, the better one of those that cost the same."""
    in_order = sorted(positions, key=lambda i: (-means[i], finalists[i].number))
    chosen = in_order[0]
    for position in in_order[1:]:
        if is_cheaper(costs[position], costs[chosen]):
            chosen = position
    return chosen


def is_cheaper(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Return whether the first cost that differs by more than a tenth is lower."""
    for our_cost, their_cost in zip(ours, theirs, strict=True):
        if abs(our_cost - their_cost) > COST_TOLERANCE * max(our_cost, their_cost):
            return our_cost < their_cost
    return False


def find_indistinguishable(
    winner: FloatArray, others: Mapping[int, FloatArray], clusters: Sequence[str]
) -> tuple[int, ...]:
    """Return the trials that these questions cannot tell to be worse than the winner.

    `others`: scores per question by trial, NaN where it was not asked or has no score; the comparison is over the
    questions that both have. The best of all tried is among them (or is the winner) in 95 of 100 studies: the one-sided
    bounds hold for all comparisons at once, by Bonferroni's inequality (multiple comparisons with the best: Hsu, 1984).
    """
    if not others:
        return ()
    bounds = bound_gains(list(others.values()), winner, clusters, confidence=_CONFIDENCE)
    return tuple(number for number, bound in zip(others, bounds, strict=True) if not bound < 0)


def correlate_scores(ours: FloatArray, theirs: FloatArray) -> float:
    """Return the correlation of two pipelines' scores over the questions that both have; 1 for equal ones."""
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    if both.sum() < 2:
        return 0.0
    a, b = ours[both] - ours[both].mean(), theirs[both] - theirs[both].mean()
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    if lengths == 0:
        return 1.0 if np.allclose(ours[both], theirs[both]) else 0.0
    return float(a @ b / lengths)


def select_distinct(columns: Mapping[int, FloatArray], *, count: int, most: float = 0.97) -> list[int]:
    """Return up to `count` trials, in the order given, none of whose scores correlate above `most` with another's."""
    chosen: list[int] = []
    for number, scores in columns.items():
        if len(chosen) < count and all(correlate_scores(scores, columns[other]) <= most for other in chosen):
            chosen.append(number)
    return chosen
