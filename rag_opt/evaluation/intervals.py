"""Confidence intervals over clusters of questions: questions about one document are not independent of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.questions import Question

# Assumed of a study's questions before any were asked: the standard deviation of scores over questions, and how the
# scores of two pipelines correlate over questions. 0.8 is seen on public grids of retrieval; in the default search the
# tried pipelines correlate with the baseline by 0.3 to 0.8 (median 0.45), because they refuse other questions.
ASSUMED_DEVIATION = 0.4
HIGH_CORRELATION, LOW_CORRELATION = 0.8, 0.4
_BOOTSTRAPS = 4000
_MIN_DEGREES = 7  # below it the signs of so few clusters have too few patterns


def find_clusters(questions: Sequence[Question]) -> tuple[str, ...]:
    """Return for each question the document that its first need is about; one without evidence is its own cluster."""
    documents = [next((a.document_id for need in q.evidence or () for a in need), None) for q in questions]
    return tuple(document or f"question:{q.id}" for document, q in zip(documents, questions, strict=True))


@dataclass(frozen=True)
class Interval:
    """A mean with its standard error and the ends of its confidence interval."""

    mean: float
    error: float
    low: float
    high: float


def mean_interval(values: FloatArray, clusters: Sequence[str], *, confidence: float = 0.95) -> Interval:
    """Return the mean over questions with a cluster-robust error: scores within a cluster may move together.

    error^2 = G/(G-1) * sum over clusters of (sum of deviations in the cluster)^2 / n^2 (Liang & Zeger, 1986, for a
    mean); ends from Student's t with the effective number of clusters less one as degrees of freedom. NaN values are
    left out; with fewer than two clusters the interval is infinitely wide.
    """
    (interval,) = mean_intervals([values], clusters, confidence=confidence)
    return interval


def mean_intervals(
    columns: Sequence[FloatArray], clusters: Sequence[str], *, confidence: float = 0.95
) -> tuple[Interval, ...]:
    """Return intervals as of `mean_interval` that hold for all columns at once, so that the best column may be picked.

    Their half-widths are the quantile `confidence` of the largest of the columns' t statistics, by the wild
    bootstrap-t over clusters (Cameron, Gelbach & Miller, 2008; Rademacher weights, one for all columns), and never
    less than Student's t; with few clusters, where signs have few patterns, by Bonferroni's inequality instead.
    Degrees of freedom: the effective number of clusters less one (Carter, Schnepel & Steigerwald, 2017), so that one
    large document does not count as many. For one column it is `mean_interval`.
    """
    means = [_cluster_mean(column, clusters) for column in columns]
    usable = [mean for mean in means if mean.groups >= 2]
    if not usable:
        return tuple(Interval(mean.mean, np.inf, -np.inf, np.inf) for mean in means)
    errors = _half_width([mean for mean in usable if mean.error > 0] or usable, confidence)
    halves = [errors * mean.error if mean.groups >= 2 else np.inf for mean in means]
    return tuple(
        Interval(mean.mean, mean.error, mean.mean - half, mean.mean + half)
        for mean, half in zip(means, halves, strict=True)
    )


@dataclass(frozen=True)
class _ClusterMean:
    """A column's mean and its error, with two numbers per cluster.

    `shares`: how far the cluster moves the mean. `weights`: its share of the scored questions; they sum to 1.
    """

    mean: float
    error: float
    shares: FloatArray
    weights: FloatArray

    @property
    def groups(self) -> int:
        """Clusters that have a scored question."""
        return int((self.weights > 0).sum())

    @property
    def degrees(self) -> float:
        """Degrees of freedom, at least 1."""
        return max(float(1 / (self.weights**2).sum()) - 1, 1.0)


def _cluster_mean(values: FloatArray, clusters: Sequence[str]) -> _ClusterMean:
    known = ~np.isnan(values)
    names, group = np.unique(clusters, return_inverse=True)
    count = int(known.sum())
    weights = np.bincount(group[known], minlength=len(names)) / max(count, 1)
    groups = int((weights > 0).sum())
    mean = float(values[known].mean()) if count else np.nan
    if groups < 2:
        return _ClusterMean(mean, np.inf, np.zeros(len(names)), weights)
    shares = np.bincount(group[known], values[known] - mean, len(names)) / count
    return _ClusterMean(mean, float(np.sqrt(groups / (groups - 1) * (shares**2).sum())), shares, weights)


def _half_width(columns: Sequence[_ClusterMean], confidence: float) -> float:
    """Return half the width of the intervals of all columns, in standard errors."""
    from scipy.special import stdtrit

    degrees = min(column.degrees for column in columns)
    tail = (1 - confidence) / 2
    student_t = float(stdtrit(degrees, 1 - tail))
    if len(columns) == 1:
        return student_t
    if degrees < _MIN_DEGREES:
        return float(stdtrit(degrees, 1 - tail / len(columns)))
    groups = np.array([[column.groups] for column in columns])
    shares = np.stack([column.shares / np.linalg.norm(column.shares) for column in columns])
    weights = np.stack([column.weights for column in columns])
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(shares.shape[1], _BOOTSTRAPS))
    moved = shares @ signs
    # each draw is divided by its own error, as the statistic itself is: few clusters have heavy tails
    squared_errors = 1 - 2 * moved * ((shares * weights) @ signs) + moved**2 * (weights**2).sum(axis=1)[:, None]
    drawn = np.abs(moved) / np.sqrt(groups / (groups - 1) * np.maximum(squared_errors, 1e-12))
    return max(student_t, float(np.quantile(drawn.max(axis=0), confidence)))


def paired_gains(
    ours: Sequence[FloatArray], theirs: FloatArray, clusters: Sequence[str], *, confidence: float = 0.95
) -> tuple[Interval, ...]:
    """Return the mean gain of each column of `ours` over `theirs`, with intervals that hold for all of them at once."""
    return mean_intervals([column - theirs for column in ours], clusters, confidence=confidence)


def paired_gain(ours: FloatArray, theirs: FloatArray, clusters: Sequence[str], *, confidence: float = 0.95) -> Interval:
    """Return the mean of the differences question by question, over the questions that both have a score for."""
    return mean_interval(ours - theirs, clusters, confidence=confidence)


def smallest_gain(questions: int, *, correlation: float, deviation: float = ASSUMED_DEVIATION) -> float:
    """Return the smallest paired gain whose 95 % interval would lie above zero, with this many questions.

    `correlation` of the two pipelines' scores over questions, `deviation` of the scores.
    """
    if questions < 2:
        return float("inf")
    return float(1.96 * deviation * np.sqrt(2 * (1 - correlation)) / np.sqrt(questions))


def describe_smallest_gains(questions: int) -> str:
    """Return in words the smallest gain that this many questions can show, under the assumptions of this module."""
    high, low = (
        smallest_gain(questions, correlation=correlation) * 100 for correlation in (HIGH_CORRELATION, LOW_CORRELATION)
    )
    if not np.isfinite(low):
        return f"{questions} question{'s' if questions != 1 else ''} can show no gain, however large"
    return (
        f"the smallest gain that {questions} questions can show: about {high:.1f} points between pipelines whose "
        f"scores correlate by {HIGH_CORRELATION}, {low:.1f} where they correlate by {LOW_CORRELATION}; score deviation "
        f"{ASSUMED_DEVIATION} assumed"
    )
