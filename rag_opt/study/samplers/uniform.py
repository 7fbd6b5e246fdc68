"""Random search."""

from __future__ import annotations

from collections.abc import Collection

import optuna
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.samplers.interfaces import Proposal
from rag_opt.study.samplers.proposals import suggest_pipeline
from rag_opt.study.space.space import Space


@register("sampler", "random")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Random:
    """Every parameter uniformly at random."""

    def propose(
        self,
        space: Space,
        study: optuna.Study,
        *,
        seed: int,
        tried_digests: Collection[str],
        cost_forecast: CostForecast,
    ) -> Proposal | None:
        """Return a random pipeline."""
        return suggest_pipeline(space, study, optuna.samplers.RandomSampler(seed=seed))
