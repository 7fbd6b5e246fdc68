"""Optuna's tree-structured Parzen estimator."""

from __future__ import annotations

import math
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
from rag_opt.study.samplers.feasibility import GuardModel
from rag_opt.study.samplers.interfaces import Proposal
from rag_opt.study.samplers.proposals import suggest_pipeline
from rag_opt.study.space.space import Space

_SUGGESTIONS = 12
_EVEN_CHANCE = math.log(0.5)


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
        """Return the pipeline that the estimator suggests, of several the first that is likely to keep the guards.

        The estimator takes trials outside a guard for bad ones, as Optuna's constraints; where most of the space is
        outside, that alone proposes too many of them.
        """
        guards = GuardModel.of_study(space, study)
        for turn in range(_SUGGESTIONS):
            proposal = self._suggest(space, study, seed + turn)
            likely = float(guards.log_chance([proposal.spec])[0]) >= _EVEN_CHANCE
            if likely or turn == _SUGGESTIONS - 1 or proposal.trial is None:
                break
            study.tell(proposal.trial, state=optuna.trial.TrialState.FAIL)  # nobody runs it
        return proposal

    def _suggest(self, space: Space, study: optuna.Study, seed: int) -> Proposal:
        with warnings.catch_warnings():
            # grouping is made for conditional spaces; that it is marked experimental is known and accepted
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=self.startup_trials, multivariate=True, group=True
            )
        return suggest_pipeline(space, study, sampler)
