"""A point estimate of the winner's gain that does not flatter: whom we pick is whom chance favoured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.evaluation.intervals import ClusterMeans


def shrink_gain(
    gains: Sequence[FloatArray],
    picked: int,
    clusters: Sequence[str],
    *,
    searched: Sequence[FloatArray],
    searched_clusters: Sequence[str],
) -> float:
    """Return the mean gain of the picked finalist over the baseline, less what picking it added.

    `gains`: by finalist its difference to the baseline per held-out question (NaN: unknown). `searched`: by tried
    pipeline its difference to the baseline per search question.

    Empirical Bayes (Efron & Morris, 1975), twice. The picked one is drawn towards the mean of all finalists by the
    share of their spread that noise explains: finalists that are equal all gain what they gain on average. What is left
    is drawn towards zero by the share of the spread of all tried pipelines in the search that noise explains: where
    nothing tried differs from the baseline, nothing is gained.
    """
    means, kept = _means_and_signal(gains, clusters)
    _, differ = _means_and_signal([*searched, np.zeros(len(searched_clusters))], searched_clusters)
    return float(differ * (means.mean() + kept * (means[picked] - means.mean())))


def _means_and_signal(columns: Sequence[FloatArray], clusters: Sequence[str]) -> tuple[FloatArray, float]:
    """Return the means, and the share of their variance that is not noise, in [0, 1]; 0 for a single column."""
    stacked = _fill_with_means(np.array(columns))
    means = ClusterMeans.of(stacked, clusters).mean
    spread = float(means.var(ddof=1)) if len(means) > 1 else 0.0
    # what all columns share (the baseline's own noise) moves their mean, not their spread
    apart = stacked - stacked.mean(axis=0)
    errors = ClusterMeans.of(apart, clusters).error
    noise = float((errors**2).sum()) / (len(means) - 1) if len(means) > 1 else np.inf
    return means, max(1 - noise / spread, 0.0) if spread > 0 and np.isfinite(noise) else 0.0


def _fill_with_means(columns: FloatArray) -> FloatArray:
    """Return the columns with what is missing replaced by the question's mean over the others, where there is one."""
    known = ~np.isnan(columns)
    count = known.sum(axis=0)
    means = np.where(count > 0, np.where(known, columns, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
    filled: FloatArray = np.where(known, columns, means)
    return filled
