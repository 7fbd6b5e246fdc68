"""Every parameter uniformly at random."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import optuna
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.samplers.interfaces import Proposal
from rag_opt.study.samplers.proposals import asked
from rag_opt.study.space.space import Space

if TYPE_CHECKING:
    pass


@register("sampler", "random")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Random:
    """Every parameter uniformly at random."""

    def propose(
        self, space: Space, study: optuna.Study, *, seed: int, seen: Collection[str], cost_forecast: CostForecast
    ) -> Proposal | None:
        return asked(space, study, optuna.samplers.RandomSampler(seed=seed))
