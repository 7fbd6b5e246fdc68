"""Confidence intervals over clusters of questions: questions about one document are not independent of each other.

Clusters are the units that the questions were split by (`data.splits`), so that an interval says of the documents what
the split allows to say of them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.arrays import FloatArray, IntArray

MIN_CLUSTERS = 5  # an interval over fewer decides nothing
_BOOTSTRAPS = 4000
_MIN_DEGREES = 7  # below it the signs of so few clusters have too few patterns


@dataclass(frozen=True)
class Strata:
    """Documents of the questions, where a claim is about these documents and all of them were asked.

    `names`: the stratum of each question (all questions of a cluster are in the same one). `sampled`: the share of the
    questions that were drawn from them, in (0, 1]: how far the draw may miss the strata's true weights.
    """

    names: Sequence[str]
    sampled: float


@dataclass(frozen=True)
class Interval:
    """A mean with its standard error and the ends of its confidence interval, over so many clusters."""

    mean: float
    error: float
    low: float
    high: float
    clusters: int = 0

    @property
    def in_points(self) -> str:
        """Ends of the interval in points of 100, as they are shown."""
        return f"[{self.low * 100:+.1f}, {self.high * 100:+.1f}]"

    @property
    def is_above_zero(self) -> bool:
        """Return whether the mean is surely above zero: all of the interval is, over clusters enough to tell."""
        return self.low > 0 and self.clusters >= MIN_CLUSTERS


def mean_interval(values: FloatArray, clusters: Sequence[str], *, confidence: float = 0.95) -> Interval:
    """Return the mean over questions with a cluster-robust error: scores within a cluster may move together.

    error^2 = G/(G-1) * sum over clusters of (sum of deviations in the cluster)^2 / n^2 (Liang & Zeger, 1986, for a
    mean); ends from Student's t with the effective number of clusters less one as degrees of freedom. NaN values are
    left out; with fewer than two clusters the interval is infinitely wide.
    """
    (interval,) = mean_intervals([values], clusters, confidence=confidence)
    return interval


def mean_intervals(
    columns: Sequence[FloatArray],
    clusters: Sequence[str],
    *,
    strata: Strata | None = None,
    confidence: float = 0.95,
) -> tuple[Interval, ...]:
    """Return intervals as of `mean_interval` that hold for all columns at once, so that the best column may be picked.

    Their half-widths are the quantile `confidence` of the largest of the columns' t statistics, by the wild
    bootstrap-t over clusters (Cameron, Gelbach & Miller, 2008; Rademacher weights, one for all columns), and never
    less than Student's t; with few clusters, where signs have few patterns, by Bonferroni's inequality instead.
    Degrees of freedom: the effective number of clusters less one (Carter, Schnepel & Steigerwald, 2017), so that one
    large document does not count as many. For one column without strata it is `mean_interval`.
    """
    means = ClusterMeans.of(np.array(columns), clusters, strata)
    usable = means.groups >= 2
    half_widths = np.full(len(usable), np.inf)
    if usable.any():
        half_widths[usable] = means.error[usable] * _half_width(means.only(usable & (means.error > 0)), confidence)
    columns_of_numbers = (means.mean.tolist(), means.error.tolist(), half_widths.tolist(), means.groups.tolist())
    return tuple(
        Interval(mean, error, mean - half, mean + half, groups)
        for mean, error, half, groups in zip(*columns_of_numbers, strict=True)
    )


@dataclass(frozen=True)
class ClusterMeans:
    """Means of columns over questions, [columns] each, with two numbers for each cluster, [columns, clusters].

    `error`: cluster-robust, infinite below two clusters. `shares`: how far a cluster moves the mean. `weights`: its
    share of the scored questions; they sum to 1.
    """

    mean: FloatArray
    error: FloatArray
    shares: FloatArray
    weights: FloatArray

    @staticmethod
    def of(columns: FloatArray, clusters: Sequence[str], strata: Strata | None = None) -> ClusterMeans:
        """Return the means of columns, [columns, questions]; NaN values are left out.

        With strata, what differs between them counts only as far as the draw may miss their weights (the correction for
        a finite population; Cochran, 1977, 2.5 and 5.9): variance = f * within + (1 - f) * total, f the sampled share.
        """
        member = _find_members(tuple(clusters))
        known = ~np.isnan(columns)
        count = known.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(known, columns, 0.0).sum(axis=1) / count
            weights = known.astype(float) @ member / np.maximum(count, 1)[:, None]
            shares = np.where(known, columns - mean[:, None], 0.0) @ member / np.maximum(count, 1)[:, None]
            groups = (weights > 0).sum(axis=1)
            variance = groups / (groups - 1) * (shares**2).sum(axis=1)
            if strata is not None:
                within = _find_variance_within(strata, member, shares, weights)
                variance = strata.sampled * within + (1 - strata.sampled) * variance
            error = np.sqrt(variance)
        return ClusterMeans(mean, np.where(groups >= 2, error, np.inf), shares, weights)

    @property
    def groups(self) -> IntArray:
        """Clusters that have a scored question, [columns]."""
        groups: IntArray = (self.weights > 0).sum(axis=1)
        return groups

    @property
    def degrees(self) -> FloatArray:
        """Degrees of freedom, at least 1: the effective number of clusters less one, [columns]."""
        with np.errstate(divide="ignore"):
            degrees: FloatArray = np.maximum(1 / (self.weights**2).sum(axis=1) - 1, 1.0)
        return degrees

    def only(self, rows: NDArray[np.bool_]) -> ClusterMeans:
        """Return some of the columns; all where none is chosen."""
        chosen = rows if rows.any() else np.ones(len(rows), bool)
        return ClusterMeans(self.mean[chosen], self.error[chosen], self.shares[chosen], self.weights[chosen])


def _find_variance_within(strata: Strata, member: FloatArray, shares: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the variance of means by what differs between clusters of one stratum, [columns].

    A stratum of one cluster has nothing to differ from: it counts as different from all others.
    """
    of_questions = np.unique(strata.names, return_inverse=True)[1]
    of_clusters = of_questions[member.argmax(axis=0)]
    inside = (of_clusters[:, None] == np.arange(of_questions.max() + 1)).astype(float)  # [clusters, strata]
    scored = (weights > 0).astype(float)
    clusters = scored @ inside
    expected = (shares @ inside) / np.maximum(weights @ inside, 1e-12) @ inside.T * weights
    alone = (clusters < 2) @ inside.T
    residuals = np.where(alone, shares, shares - expected)
    groups = np.where(clusters < 2, scored.sum(axis=1, keepdims=True), clusters)
    variance: FloatArray = (groups / np.maximum(groups - 1, 1) * (residuals**2 @ inside)).sum(axis=1)
    return variance


def _half_width(means: ClusterMeans, confidence: float) -> float:
    """Return half the width of the intervals of all columns, in standard errors."""
    from scipy.special import stdtrit

    degrees = float(means.degrees.min())
    tail = (1 - confidence) / 2
    student_t = float(stdtrit(degrees, 1 - tail))
    columns = len(means.mean)
    if columns == 1:
        return student_t
    if degrees < _MIN_DEGREES:
        return float(stdtrit(degrees, 1 - tail / columns))
    lengths = np.linalg.norm(means.shares, axis=1, keepdims=True)
    shares, weights, groups = means.shares / np.where(lengths > 0, lengths, 1.0), means.weights, means.groups[:, None]
    signs = _draw_signs(shares.shape[1])
    moved = shares @ signs
    # each draw is divided by its own error, as the statistic itself is: few clusters have heavy tails
    squared_errors = 1 - 2 * moved * ((shares * weights) @ signs) + moved**2 * (weights**2).sum(axis=1)[:, None]
    drawn = np.abs(moved) / np.sqrt(groups / (groups - 1) * np.maximum(squared_errors, 1e-12))
    return max(student_t, float(np.quantile(drawn.max(axis=0), confidence)))


@functools.lru_cache(maxsize=64)
def _find_members(clusters: tuple[str, ...]) -> FloatArray:
    """Return which questions are in which cluster as 0 and 1, [questions, clusters]."""
    names, group = np.unique(clusters, return_inverse=True)
    member = np.zeros((len(clusters), len(names)))
    member[np.arange(len(clusters)), group] = 1.0
    return member


@functools.lru_cache(maxsize=8)
def _draw_signs(clusters: int) -> FloatArray:
    """Return Rademacher weights, [clusters, bootstraps]; the same for the same number."""
    return np.random.default_rng(0).choice([-1.0, 1.0], size=(clusters, _BOOTSTRAPS))


def paired_gains(
    ours: Sequence[FloatArray],
    theirs: FloatArray,
    clusters: Sequence[str],
    *,
    strata: Strata | None = None,
    confidence: float = 0.95,
) -> tuple[Interval, ...]:
    """Return the mean gain of each column of `ours` over `theirs`, with intervals that hold for all of them at once."""
    return mean_intervals([column - theirs for column in ours], clusters, strata=strata, confidence=confidence)


def bound_gains(
    ours: Sequence[FloatArray], theirs: FloatArray, clusters: Sequence[str], *, confidence: float = 0.95
) -> FloatArray:
    """Return upper bounds of the mean gains of all columns over `theirs`, [columns].

    They are one-sided and hold for all columns at once (Bonferroni); infinite below two clusters.
    """
    from scipy.special import stdtrit

    means = ClusterMeans.of(np.array(ours) - theirs, clusters)
    quantiles = stdtrit(means.degrees, 1 - (1 - confidence) / len(ours))
    bounds: FloatArray = np.where(np.isfinite(means.error), means.mean + quantiles * means.error, np.inf)
    return bounds


def paired_gain(ours: FloatArray, theirs: FloatArray, clusters: Sequence[str], *, confidence: float = 0.95) -> Interval:
    """Return the mean of the differences question by question, over the questions that both have a score for."""
    return mean_interval(ours - theirs, clusters, confidence=confidence)
