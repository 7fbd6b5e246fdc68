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
from rag_opt.study.samplers.proposals import draw_likeliest, is_new, suggest_pipeline
from rag_opt.study.space.space import Space

_SUGGESTIONS = 16
_LIKELY = math.log(0.8)
_DOUBTFUL = math.log(0.6)


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
        """Return the first new pipeline that the estimator suggests and that is likely to keep the guards.

        The estimator takes trials outside a guard for bad ones, as Optuna's constraints; where most of the space is
        outside, that alone proposes too many of them. Where it suggests none that is at least 60 % likely to keep the
        guards, the likeliest of some random pipelines takes its place.
        """
        guards, best = GuardModel.of_study(space, study), -math.inf
        chosen: Proposal | None = None
        for turn in range(_SUGGESTIONS):
            proposal = self._suggest(space, study, seed + turn)
            new = is_new(space, proposal.spec, tried_digests)
            log_chance = float(guards.log_chance([proposal.spec])[0]) if new else -math.inf
            unwanted: Proposal | None = proposal
            if chosen is None or log_chance > best:
                unwanted, chosen, best = chosen, proposal, log_chance
            if unwanted is not None and unwanted.trial is not None:
                study.tell(unwanted.trial, state=optuna.trial.TrialState.FAIL)  # nobody runs it
            if best >= _LIKELY:
                break
        drawn = None
        if best < _DOUBTFUL:
            drawn = draw_likeliest(space, guards, seed=seed, tried_digests=tried_digests, above=best)
        if drawn is not None and chosen is not None and chosen.trial is not None:
            study.tell(chosen.trial, state=optuna.trial.TrialState.FAIL)
        return drawn or chosen

    def _suggest(self, space: Space, study: optuna.Study, seed: int) -> Proposal:
        with warnings.catch_warnings():
            # grouping is made for conditional spaces; that it is marked experimental is known and accepted
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=self.startup_trials, multivariate=True, group=True
            )
        return suggest_pipeline(space, study, sampler)
