"""How well refusals can be decided at all: by the confidence that a generator gave with each of its answers."""

from __future__ import annotations

import numpy as np

from rag_opt.evaluation.agreement import Ratings, bootstrap_estimate
from rag_opt.evaluation.run import Run


def measure_refusal_auc(run: Run) -> tuple[float, float, float] | None:
    """Return how often an answerable question has more confidence than an unanswerable one, with its 95 % interval.

    The area under the ROC curve: 0.5 is chance, 1 a threshold that is never wrong. None where the generator gives no
    confidence, or all questions are of one kind.
    """
    confidence = np.array([a.confidence if a.confidence is not None else np.nan for a in run.responses.answers], float)
    answerable = np.array([question.answerable for question in run.questions], bool)
    known = ~np.isnan(confidence)
    if answerable[known].all() or not answerable[known].any():
        return None
    auc = bootstrap_estimate(_auc, confidence[known], answerable[known])
    return (auc.value, auc.low, auc.high) if np.isfinite(auc.value) else None


def _auc(confidence: Ratings, answerable: Ratings) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(answerable, confidence)) if 0 < answerable.sum() < len(answerable) else float("nan")
