"""How retrieval would fare among more documents: recall at k from what stands before the evidence now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray

FACTORS = (1, 3, 10, 30)
_LEAST_QUESTIONS = 10


@dataclass(frozen=True)
class Growth:
    """Share of questions whose evidence lies whole in the first k ranks, by how many times there are the documents.

    What stands before the evidence and is of its own documents stays, `own` by question (infinite where the evidence is
    not in the list); passages of other documents grow with their number. Among questions their expected number is
    Gamma distributed, with `shape` and `mean`, so that their count is negative binomial. `recall` is measured.
    """

    k: int
    shape: float
    mean: float
    own: FloatArray
    recall: float

    def at(self, factor: float) -> float:
        """Return the recall at k among `factor` times the documents, in [0, 1]; what is measured at 1."""
        now = self._modelled(1.0)
        return self.recall * self._modelled(factor) / now if now > 0 else 0.0

    def _modelled(self, factor: float) -> float:
        from scipy import special

        room = self.k - 1 - self.own  # passages of other documents that may stand before
        share = self.shape / (self.shape + factor * self.mean)
        fits = np.where(room >= 0, special.betainc(self.shape, np.maximum(room, 0) + 1, share), 0.0)
        return float(fits.mean())


def fit_growth(own: FloatArray, others: FloatArray, *, k: int, depth: int) -> Growth | None:
    """Return the model of one pipeline; None for too few questions, or where no evidence is found at all.

    By question with evidence, how many passages of its own documents and of others stand before the last piece of it
    in the ranked list; NaN where the list, of `depth` ranks, has not all of it.

    How many stand before it is an order statistic of their scores: among m times as many documents of the same kind,
    m times as many are expected. The Gamma distribution of the expected numbers is found by maximum likelihood; of
    evidence that the list does not have it is only known that as many as the list is long stand before it.
    """
    from scipy import optimize, special

    known = ~np.isnan(others)
    if len(others) < _LEAST_QUESTIONS or not known.any():
        return None
    counts = others[known]

    def loss(logs: FloatArray) -> float:
        shape, mean = np.exp(logs)
        share = shape / (shape + mean)
        seen = (
            special.gammaln(counts + shape)
            - special.gammaln(shape)
            - special.gammaln(counts + 1)
            + shape * np.log(share)
            + counts * np.log1p(-share)
        )
        beyond = np.log(max(special.betainc(depth + 1, shape, 1 - share), 1e-300))
        return float(-(seen.sum() + (~known).sum() * beyond))

    start = np.log([0.3, max(float(counts.mean()), 0.1)])
    found = optimize.minimize(loss, start, method="Nelder-Mead", options={"maxiter": 2000})
    shape, mean = np.exp(np.clip(found.x, -12, 12))
    rank = own + others + 1
    return Growth(k, float(shape), float(mean), np.where(known, own, np.inf), float((rank <= k).mean()))


def describe_growth(names: Sequence[str], models: Sequence[Growth]) -> str:
    """Return in words where a pipeline that is ahead now falls behind another as documents grow."""
    ours, theirs = models[:2]
    ahead = ours.at(1) >= theirs.at(1)
    for factor in FACTORS[1:]:
        if (ours.at(factor) >= theirs.at(factor)) != ahead:
            other = names[1] if ahead else names[0]
            return f"with {factor} times the documents {other} would be ahead"
    return f"{names[0] if ahead else names[1]} stays ahead up to {FACTORS[-1]} times the documents"
