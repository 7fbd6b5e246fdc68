"""Optuna's tree-structured Parzen estimator."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import optuna
from annotated_types import Ge
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.samplers.interfaces import Proposal
from rag_opt.study.samplers.proposals import asked
from rag_opt.study.space.space import Space

if TYPE_CHECKING:
    pass


@register("sampler", "tpe")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Tpe:
    """Tree-structured Parzen estimator, multivariate and grouped by branch of the space (Optuna)."""

    startup_trials: Annotated[int, Ge(1)] = 10

    def propose(
        self, space: Space, study: optuna.Study, *, seed: int, seen: Collection[str], cost_forecast: CostForecast
    ) -> Proposal | None:
        import warnings

        with warnings.catch_warnings():
            # grouping is made for conditional spaces; that it is marked experimental is known and accepted
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=self.startup_trials, multivariate=True, group=True
            )
        return asked(space, study, sampler)
