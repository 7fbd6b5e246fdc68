"""From a sampler to a pipeline that can exist and was not tried."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput
from rag_opt.pipeline.spec import PipelineSpec, SpecDict
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.samplers.feasibility import GuardModel
from rag_opt.study.samplers.interfaces import Proposal, Sampler
from rag_opt.study.space.domains import Choice, Domain, Range, Scalar
from rag_opt.study.space.space import Space

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

LARGEST_GRID = 1_000_000
_RANDOM_DRAWS = 1000
_RANDOM_PROPOSALS = 256


def suggest_pipeline(space: Space, study: optuna.Study, sampler: BaseSampler) -> Proposal:
    """Ask an Optuna sampler for one pipeline of the space; its trial stays open."""
    study.sampler = sampler
    trial = study.ask()
    spec: SpecDict = {}
    for slot in space.slots_in_turn:
        if slot == "embedder" and not space.reads_vectors(spec):
            spec[slot] = {"none": {}}
            continue
        kinds = space.tree[slot]
        kind = next(iter(kinds)) if len(kinds) == 1 else trial.suggest_categorical(slot, list(kinds))
        settings: dict[str, Scalar] = {}
        for name, domain in kinds[kind].items():
            settings[name] = _suggest_value(trial, f"{slot}.{kind}.{name}", domain)
        spec[slot] = {kind: settings}
    return Proposal({slot: spec[slot] for slot in space.tree}, trial)


def _suggest_value(trial: optuna.Trial, path: str, domain: Domain) -> Scalar:
    if isinstance(domain, Choice):
        return domain.values[0] if len(domain) == 1 else trial.suggest_categorical(path, domain.values)
    if isinstance(domain.low, int):
        step = int(domain.step or 1)
        return trial.suggest_int(path, domain.low, int(_last_value(domain)), step=step, log=domain.log)
    value = trial.suggest_float(path, domain.low, float(_last_value(domain)), step=domain.step, log=domain.log)
    return domain.clean(value)


def to_distribution(domain: Domain) -> BaseDistribution:
    """Return the Optuna distribution that `suggest_pipeline` samples a domain from."""
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    if isinstance(domain.low, int):
        return IntDistribution(domain.low, int(_last_value(domain)), step=int(domain.step or 1), log=domain.log)
    return FloatDistribution(domain.low, float(_last_value(domain)), step=domain.step, log=domain.log)


def _last_value(domain: Range) -> int | float:
    """Return the last value that steps from `low` reach: Optuna wants the range to be a multiple of its step."""
    return domain.high if domain.step is None else domain.at(len(domain) - 1)


def propose_new(
    sampler: Sampler,
    space: Space,
    study: optuna.Study,
    seeds: Sequence[int],
    *,
    tried_digests: Collection[str],
    cost_forecast: CostForecast,
    redraws: int,
) -> Proposal | None:
    """Return a pipeline that can exist and was not tried; None where there is none left.

    The sampler is asked up to `redraws` times. Then some random new pipelines are drawn, and the one is taken that is
    the likeliest to keep the guards. `seeds` are those of this ask; every attempt derives its own.
    """
    for attempt in range(redraws):
        seed = int(digest([*seeds, attempt])[:8], 16)
        proposal = sampler.propose(space, study, seed=seed, tried_digests=tried_digests, cost_forecast=cost_forecast)
        if proposal is None:
            return None
        if space.identify(proposal.spec) not in tried_digests and not _is_ruled_out(space, proposal.spec):
            return proposal
        if proposal.trial is not None:  # nobody will run it; samplers learn nothing from a failed one
            study.tell(proposal.trial, state=optuna.trial.TrialState.FAIL)
    guards, seed = GuardModel.of_study(space, study), int(digest([*seeds, "any"])[:8], 16)
    likeliest = draw_likeliest(space, guards, seed=seed, tried_digests=tried_digests)
    return likeliest or draw_new(space, seed=seed, tried_digests=tried_digests)


def draw_likeliest(
    space: Space, guards: GuardModel, *, seed: int, tried_digests: Collection[str], above: float = -math.inf
) -> Proposal | None:
    """Return the likeliest to keep the guards of some random new pipelines.

    None where none was new, or none has a log chance of more than `above`.
    """
    random = np.random.default_rng(seed)
    drawn = [spec for _ in range(_RANDOM_PROPOSALS) if is_new(space, spec := space.draw(random), tried_digests)]
    if not drawn:
        return None
    log_chances = guards.log_chance(drawn)
    return Proposal(drawn[int(log_chances.argmax())]) if log_chances.max() > above else None


def _is_ruled_out(space: Space, spec: SpecDict) -> bool:
    try:
        return bool(space.reason_against(PipelineSpec.from_dict(spec).to_dict()))
    except BadInput:  # a rule between settings that only the part knows: pruned with its words
        return False


def draw_new(space: Space, *, seed: int, tried_digests: Collection[str]) -> Proposal | None:
    """Return a random pipeline of the space that was not tried and is not ruled out; None when there is none."""
    size = space.size
    random = np.random.default_rng(seed)
    if size is None or size > LARGEST_GRID:
        for _ in range(_RANDOM_DRAWS):
            sampler = optuna.samplers.RandomSampler(seed=int(random.integers(2**31)))
            proposal = suggest_pipeline(space, optuna.create_study(), sampler)
            if is_new(space, proposal.spec, tried_digests):
                return Proposal(proposal.spec)
        return None
    for index in random.permutation(size):
        spec = space.at(int(index))
        if is_new(space, spec, tried_digests):
            return Proposal(spec)
    return None


def is_new(space: Space, spec: SpecDict, tried_digests: Collection[str]) -> bool:
    """Return whether a pipeline can exist, was not tried, and is not ruled out."""
    try:
        full = PipelineSpec.from_dict(spec)
    except BadInput:  # a rule between settings that only the part knows
        return False
    written = full.to_dict()
    return space.identify(written) not in tried_digests and not space.reason_against(written)
