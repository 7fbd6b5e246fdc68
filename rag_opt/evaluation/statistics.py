"""Intervals that respect documents: questions about one document are not independent of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.records import FloatArray, Question

# What is assumed of a study's questions before any were asked: spread of scores over questions, and how
# alike two pipelines score a question. Seen on public grids; 200 questions then tell 3.5 points apart.
ASSUMED_DEVIATION = 0.4
ASSUMED_CORRELATION = 0.8


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
    mean); ends from Student's t with G-1 degrees of freedom. NaN values are left out; with fewer than two clusters
    the interval is infinitely wide.
    """
    known = ~np.isnan(values)
    values, names = values[known], [unit for unit, yes in zip(clusters, known, strict=True) if yes]
    if not len(values):
        return Interval(np.nan, np.inf, -np.inf, np.inf)
    mean = float(values.mean())
    _, group = np.unique(names, return_inverse=True)
    groups = int(group.max()) + 1
    if groups < 2:
        return Interval(mean, np.inf, -np.inf, np.inf)
    sums = np.bincount(group, values - mean)
    error = float(np.sqrt(groups / (groups - 1) * (sums**2).sum()) / len(values))
    from scipy.special import stdtrit

    reach = float(stdtrit(groups - 1, 0.5 + confidence / 2)) * error
    return Interval(mean, error, mean - reach, mean + reach)


def paired_gain(ours: FloatArray, theirs: FloatArray, clusters: Sequence[str], *, confidence: float = 0.95) -> Interval:
    """Mean of the differences question by question, over the questions that both have a score for."""
    return mean_interval(ours - theirs, clusters, confidence=confidence)


def smallest_gain(
    questions: int, *, deviation: float = ASSUMED_DEVIATION, correlation: float = ASSUMED_CORRELATION
) -> float:
    """The smallest paired gain whose 95 % interval would lie above zero, with this many questions."""
    if questions < 2:
        return float("inf")
    return float(1.96 * deviation * np.sqrt(2 * (1 - correlation)) / np.sqrt(questions))
