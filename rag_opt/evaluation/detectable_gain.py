"""The smallest gain that questions can show, before any was asked, and how many would show a smaller one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rag_opt.evaluation.intervals import MIN_CLUSTERS, Interval

# Assumed of a study's questions before any were asked: the standard deviation of scores over questions, how the scores
# of two pipelines correlate over questions (0.8 on public grids of retrieval, 0.4 between pipelines that refuse other
# questions), and how differences correlate within a cluster: a guess, under which the gain announced for halves of real
# questions came near their half-width (docs/benchmarks.md).
ASSUMED_DEVIATION = 0.4
HIGH_CORRELATION, LOW_CORRELATION = 0.8, 0.4
ASSUMED_CLUSTER_CORRELATION = 0.05


def smallest_gain(
    clusters: Sequence[str], *, correlation: float, finalists: int = 1, deviation: float = ASSUMED_DEVIATION
) -> float:
    """Return the smallest paired gain whose 95 % interval would lie above zero, in units of the score.

    `clusters`: the cluster of each question. `correlation` of the two pipelines' scores over questions, `deviation` of
    the scores. The interval holds for all `finalists` at once (Bonferroni). The variance of a mean over clusters grows
    by 1 + (m - 1) * rho, where m is the mean size of a question's cluster (Kish, 1965) and rho the correlation of
    differences within one. Infinite below 5 clusters.
    """
    from scipy.special import stdtrit

    sizes = list(Counter(clusters).values())
    if len(sizes) < MIN_CLUSTERS:
        return float("inf")
    count, squares = sum(sizes), sum(size**2 for size in sizes)
    effective_clusters = count**2 / squares
    growth = 1 + (squares / count - 1) * ASSUMED_CLUSTER_CORRELATION
    quantile = float(stdtrit(max(effective_clusters - 1, 1.0), 1 - 0.025 / finalists))
    return float(quantile * deviation * (2 * (1 - correlation) * growth / count) ** 0.5)


def describe_smallest_gains(clusters: Sequence[str], *, finalists: int) -> str:
    """Return in words the smallest gain that these questions can show, under the assumptions of this module."""
    high, low = (
        smallest_gain(clusters, correlation=correlation, finalists=finalists) * 100
        for correlation in (HIGH_CORRELATION, LOW_CORRELATION)
    )
    count, groups = len(clusters), len(set(clusters))
    asked = f"{count} held-out question{'s' if count != 1 else ''}"
    if low == float("inf"):
        return (
            f"{asked} in {groups} split units can show no gain, however large: at least {MIN_CLUSTERS} units are needed"
        )
    return (
        f"the smallest gain that {asked} in {groups} split units can show: about {high:.1f} points between pipelines "
        f"whose scores correlate by {HIGH_CORRELATION}, {low:.1f} where they correlate by {LOW_CORRELATION}; score "
        f"deviation {ASSUMED_DEVIATION} assumed"
    )


def questions_to_tell(gain: Interval, questions: int, *, expected: float) -> int | None:
    """Return how many held-out questions would show an expected gain, at the error that these had.

    The half-width of an interval falls with the square root of the questions. None where the error is not known, or
    where nothing is expected to be gained.
    """
    half_width = gain.high - gain.mean
    if not half_width < float("inf") or not expected > 0 or questions < 1:
        return None
    return max(round(questions * (half_width / expected) ** 2), questions + 1)
