"""Intervals that respect documents: questions about one document are not independent of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.questions import Question

# What is assumed of a study's questions before any were asked: the spread of scores over questions, and how alike
# two pipelines score a question. 0.8 is seen on public grids of retrieval; in the default search the tried pipelines
# correlate with the baseline by 0.3 to 0.8 (median 0.45), because they refuse other questions.
ASSUMED_DEVIATION = 0.4
ALIKE, UNLIKE = 0.8, 0.4
_BOOTSTRAPS = 4000
_FEWEST_DEGREES = 7  # below it the signs of so few clusters have too few patterns


def clusters_of(questions: Sequence[Question]) -> tuple[str, ...]:
    """For each question the document that its first need is about; one without evidence stands alone."""
    first = [next((a.document_id for need in q.evidence or () for a in need), None) for q in questions]
    return tuple(name or f"question:{q.id}" for name, q in zip(first, questions, strict=True))


@dataclass(frozen=True)
class Interval:
    """A mean with its standard error and the ends of its confidence interval."""

    mean: float
    error: float
    low: float
    high: float


def mean_interval(values: FloatArray, clusters: Sequence[str], *, confidence: float = 0.95) -> Interval:
    """Mean over questions with a cluster-robust error: questions of one cluster may move together.

    error^2 = G/(G-1) * sum over clusters of (sum of deviations in one)^2 / n^2 (Liang & Zeger, 1986, for a
    mean); ends from Student's t with the effective number of clusters less one as degrees of freedom. NaN values are
    left out; with fewer than two clusters the interval is infinitely wide.
    """
    (interval,) = mean_intervals([values], clusters, confidence=confidence)
    return interval


def mean_intervals(
    columns: Sequence[FloatArray], clusters: Sequence[str], *, confidence: float = 0.95
) -> tuple[Interval, ...]:
    """Intervals as of `mean_interval` that hold for all columns at once, so that the best may be picked after looking.

    They reach as far as the largest of the columns' t statistics does with probability `confidence`, by the
    wild bootstrap-t over clusters (Cameron, Gelbach & Miller, 2008; Rademacher weights, one for all columns), never
    less far than Student's t; with few clusters, where signs have few patterns, by Bonferroni's inequality instead.
    Degrees of freedom: the effective number of clusters less one (Carter, Schnepel & Steigerwald, 2017), so that one
    large document does not pass for many. For one column it is `mean_interval`.
    """
    means = [_clustered(column, clusters) for column in columns]
    able = [one for one in means if one.groups >= 2]
    if not able:
        return tuple(Interval(one.mean, np.inf, -np.inf, np.inf) for one in means)
    far = _reach([one for one in able if one.error > 0] or able, confidence)
    reach = [far * one.error if one.groups >= 2 else np.inf for one in means]
    return tuple(Interval(one.mean, one.error, one.mean - r, one.mean + r) for one, r in zip(means, reach, strict=True))


@dataclass(frozen=True)
class _Clustered:
    """`shares`: what each cluster moves the mean away from its value, `weights` which share of the questions it has,
    a number per cluster of all columns.
    """

    mean: float
    error: float
    shares: FloatArray
    weights: FloatArray

    @property
    def groups(self) -> int:
        return int((self.weights > 0).sum())

    @property
    def degrees(self) -> float:
        return max(float(1 / (self.weights**2).sum()) - 1, 1.0)


def _clustered(values: FloatArray, clusters: Sequence[str]) -> _Clustered:
    known = ~np.isnan(values)
    names, group = np.unique(clusters, return_inverse=True)
    count = int(known.sum())
    weights = np.bincount(group[known], minlength=len(names)) / max(count, 1)
    groups = int((weights > 0).sum())
    mean = float(values[known].mean()) if count else np.nan
    if groups < 2:
        return _Clustered(mean, np.inf, np.zeros(len(names)), weights)
    shares = np.bincount(group[known], values[known] - mean, len(names)) / count
    return _Clustered(mean, float(np.sqrt(groups / (groups - 1) * (shares**2).sum())), shares, weights)


def _reach(columns: Sequence[_Clustered], confidence: float) -> float:
    """How many standard errors the intervals of all columns reach to both sides."""
    from scipy.special import stdtrit

    degrees = min(one.degrees for one in columns)
    beside = (1 - confidence) / 2
    alone = float(stdtrit(degrees, 1 - beside))
    if len(columns) == 1:
        return alone
    if degrees < _FEWEST_DEGREES:
        return float(stdtrit(degrees, 1 - beside / len(columns)))
    groups = np.array([[one.groups] for one in columns])
    shares = np.stack([one.shares / np.linalg.norm(one.shares) for one in columns])
    weights = np.stack([one.weights for one in columns])
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(shares.shape[1], _BOOTSTRAPS))
    moved = shares @ signs
    # each draw is divided by its own error, as the statistic itself is: few clusters have heavy tails
    own = 1 - 2 * moved * ((shares * weights) @ signs) + moved**2 * (weights**2).sum(axis=1)[:, None]
    drawn = np.abs(moved) / np.sqrt(groups / (groups - 1) * np.maximum(own, 1e-12))
    return max(alone, float(np.quantile(drawn.max(axis=0), confidence)))


def paired_gains(
    ours: Sequence[FloatArray], theirs: FloatArray, clusters: Sequence[str], *, confidence: float = 0.95
) -> tuple[Interval, ...]:
    """The gain of each of several over the same one, with intervals that hold for all of them at once."""
    return mean_intervals([column - theirs for column in ours], clusters, confidence=confidence)


def paired_gain(ours: FloatArray, theirs: FloatArray, clusters: Sequence[str], *, confidence: float = 0.95) -> Interval:
    """Mean of the differences question by question, over the questions that both have a score for."""
    return mean_interval(ours - theirs, clusters, confidence=confidence)


def smallest_gain(questions: int, *, correlation: float, deviation: float = ASSUMED_DEVIATION) -> float:
    """The smallest paired gain whose 95 % interval would lie above zero, with this many questions."""
    if questions < 2:
        return float("inf")
    return float(1.96 * deviation * np.sqrt(2 * (1 - correlation)) / np.sqrt(questions))


def smallest_gains_in_words(questions: int) -> str:
    alike, unlike = (smallest_gain(questions, correlation=correlation) * 100 for correlation in (ALIKE, UNLIKE))
    if not np.isfinite(unlike):
        return f"{questions} question{'s' if questions != 1 else ''} can show no gain, however large"
    return (
        f"the smallest gain that {questions} questions can show: about {alike:.1f} points between pipelines that score "
        f"alike (correlation {ALIKE}), {unlike:.1f} between unlike ones ({UNLIKE}); score deviation "
        f"{ASSUMED_DEVIATION} assumed"
    )
