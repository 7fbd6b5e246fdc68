"""Optuna's tree-structured Parzen estimator."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Annotated

import optuna
from annotated_doc import Doc
from annotated_types import Ge
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.samplers.interfaces import Proposal
from rag_opt.study.samplers.proposals import suggest_pipeline
from rag_opt.study.space.space import Space


@register("sampler", "tpe")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Tpe:
    """Tree-structured Parzen estimator, multivariate and grouped by branch of the space (Optuna)."""

    startup_trials: Annotated[int, Ge(1), Doc("Trials that are drawn at random before the estimator begins.")] = 10

    def propose(
        self,
        space: Space,
        study: optuna.Study,
        *,
        seed: int,
        tried_digests: Collection[str],
        cost_forecast: CostForecast,
    ) -> Proposal | None:
        """Return the pipeline that the estimator suggests."""
        with warnings.catch_warnings():
            # grouping is made for conditional spaces; that it is marked experimental is known and accepted
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=self.startup_trials, multivariate=True, group=True
            )
        return suggest_pipeline(space, study, sampler)
