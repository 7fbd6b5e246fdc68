"""How well refusals can be decided at all: by the confidence that a generator gave with each of its answers."""

from __future__ import annotations

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.evaluation.run import Run

_QUANTILE = 1.96  # of the normal distribution, for 95 %


def measure_refusal_auc(run: Run) -> tuple[float, float, float] | None:
    """Return how often an answerable question has more confidence than an unanswerable one, with its 95 % interval.

    The area under the ROC curve: 0.5 is chance, 1 a threshold that is never wrong. None where the generator gives no
    confidence, or where there are not two questions of either kind.
    """
    confidence = np.array([a.confidence if a.confidence is not None else np.nan for a in run.responses.answers], float)
    answerable = np.array([question.answerable for question in run.questions], bool)
    known = ~np.isnan(confidence)
    return measure_auc(confidence[known & answerable], confidence[known & ~answerable])


def measure_auc(positive: FloatArray, negative: FloatArray) -> tuple[float, float, float] | None:
    """Return the area under the ROC curve of two samples with its 95 % interval (DeLong et al., 1988).

    None with fewer than two of either.
    """
    if len(positive) < 2 or len(negative) < 2:
        return None
    above = (positive[:, None] > negative[None]) + 0.5 * (positive[:, None] == negative[None])
    auc = float(above.mean())
    by_positive, by_negative = above.mean(axis=1), above.mean(axis=0)
    variance = by_positive.var(ddof=1) / len(positive) + by_negative.var(ddof=1) / len(negative)
    half = _QUANTILE * float(np.sqrt(variance))
    return auc, max(auc - half, 0.0), min(auc + half, 1.0)
