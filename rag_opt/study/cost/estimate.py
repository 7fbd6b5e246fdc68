"""Estimate of what a search would cost before it begins: simulated searches, priced by a probe."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rag_opt.core.questions import Question
from rag_opt.study.cost.probe import Allowance, probe
from rag_opt.study.cost.simulation import SimulatedSearch, simulate_search
from rag_opt.study.search import Search

_SIMULATIONS = 3  # where there is time
_UNCERTAINTY = 1.15  # factor by which what was probed may be off either way


class Quantiles(NamedTuple):
    """The 5 %, 50 % and 95 % quantiles of a forecast."""

    low: float
    middle: float
    high: float

    @staticmethod
    def from_values(values: Sequence[float], *, factor: float = 1.0) -> Quantiles:
        """Return the quantiles of some values; the outer two moved outwards by a factor."""
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95]).tolist()
        return Quantiles(low / factor, middle, high * factor)


@dataclass(frozen=True)
class Estimate:
    """Forecast of a whole search.

    `seconds` in all, and `by_stage` (medians); how many indexes, documents' chunks and tokens would be built and
    embedded; `trials` that would be run; `embedding_usd`: dollars for the vectors of services with a price.
    """

    seconds: Quantiles
    by_stage: dict[str, float]
    indexes: Quantiles
    texts: Quantiles
    tokens: Quantiles
    trials: int
    embedding_usd: Quantiles


def estimate(
    search: Search, held_out: Sequence[Question], *, finalists: int, startup_seconds: float, allowance: Allowance
) -> Estimate:
    """Return the estimate of a search; more of it is measured and simulated while the allowance of time lasts.

    Nothing is put into the search's own store but what a probe of its models leaves there.
    """
    probed, outcomes, took = probe(search, allowance), list[SimulatedSearch](), 0.0
    while not outcomes or (len(outcomes) < _SIMULATIONS and allowance.has(took)):
        started = time.perf_counter()
        outcomes.append(simulate_search(search, held_out, finalists, probed, seed=len(outcomes)))
        took = time.perf_counter() - started
        allowance.expect(sum(outcomes[-1].seconds.values()))
    families = dict.fromkeys(family for outcome in outcomes for family in outcome.seconds)
    seconds = [startup_seconds + sum(outcome.seconds.values()) for outcome in outcomes]
    medians = {
        family: float(np.median([outcome.seconds.get(family, 0.0) for outcome in outcomes])) for family in families
    }
    return Estimate(
        seconds=Quantiles.from_values(seconds, factor=_UNCERTAINTY),
        by_stage={"start": startup_seconds} | medians,
        indexes=Quantiles.from_values([outcome.indexes for outcome in outcomes]),
        texts=Quantiles.from_values([outcome.texts for outcome in outcomes]),
        tokens=Quantiles.from_values([outcome.tokens for outcome in outcomes]),
        embedding_usd=Quantiles.from_values([outcome.embedding_usd for outcome in outcomes]),
        trials=round(float(np.median([outcome.trials for outcome in outcomes]))),
    )
