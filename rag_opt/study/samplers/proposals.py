"""From a sampler to a pipeline that can be and was not tried."""

from __future__ import annotations

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
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.samplers.interfaces import Proposal, Sampler
from rag_opt.study.space.domains import Choice, Domain, Range
from rag_opt.study.space.space import Space, SpecDict

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


LARGEST_GRID = 1_000_000


def asked(space: Space, study: optuna.Study, sampler: BaseSampler) -> Proposal:
    study.sampler = sampler
    trial = study.ask()
    spec: SpecDict = {}
    for slot, kinds in space.tree.items():
        kind = next(iter(kinds)) if len(kinds) == 1 else trial.suggest_categorical(slot, list(kinds))
        settings = {}
        for name, domain in kinds[kind].items():
            settings[name] = _suggest(trial, f"{slot}.{kind}.{name}", domain)
        spec[slot] = {kind: settings}
    return Proposal(spec, trial)


def _suggest(trial: optuna.Trial, path: str, domain: Domain) -> object:
    if isinstance(domain, Choice):
        return domain.values[0] if len(domain) == 1 else trial.suggest_categorical(path, domain.values)
    if isinstance(domain.low, int):
        step = int(domain.step or 1)
        return trial.suggest_int(path, domain.low, int(_reachable(domain)), step=step, log=domain.log)
    value = trial.suggest_float(path, domain.low, float(_reachable(domain)), step=domain.step, log=domain.log)
    return domain.clean(value)


def distribution(domain: Domain) -> BaseDistribution:
    """The Optuna distribution that `asked` samples this domain from."""
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    if isinstance(domain.low, int):
        return IntDistribution(domain.low, int(_reachable(domain)), step=int(domain.step or 1), log=domain.log)
    return FloatDistribution(domain.low, float(_reachable(domain)), step=domain.step, log=domain.log)


def _reachable(domain: Range) -> int | float:
    """The last value that steps from `low` reach: Optuna wants the range to be a multiple of its step."""
    return domain.high if domain.step is None else domain.at(len(domain) - 1)


def new_proposal(
    sampler: Sampler,
    space: Space,
    study: optuna.Study,
    seeds: Sequence[int],
    *,
    seen: Collection[str],
    cost_forecast: CostForecast,
    redraws: int,
) -> Proposal | None:
    """A pipeline that can be and was not tried: redrawn while it is not, then any that is left, else None.

    `seeds` of this ask; every attempt has its own.
    """
    for attempt in range(redraws):
        seed = int(digest([*seeds, attempt])[:8], 16)
        proposal = sampler.propose(space, study, seed=seed, seen=seen, cost_forecast=cost_forecast)
        if proposal is None or (spec_digest(proposal.spec) not in seen and not _ruled_out(space, proposal.spec)):
            return proposal
        if proposal.trial is not None:  # nobody will run it; samplers learn nothing from a failed one
            study.tell(proposal.trial, state=optuna.trial.TrialState.FAIL)
    return unseen(space, seed=int(digest([*seeds, "any"])[:8], 16), seen=seen)


def _ruled_out(space: Space, spec: SpecDict) -> bool:
    try:
        return bool(space.forbidden(PipelineSpec.from_dict(spec).to_dict()))
    except BadInput:  # a rule between settings that only the part knows: pruned with its words
        return False


def unseen(space: Space, *, seed: int, seen: Collection[str]) -> Proposal | None:
    """A pipeline of the space at random that was not tried and is not forbidden; None when there is none."""

    def new(spec: SpecDict) -> bool:
        try:
            full = PipelineSpec.from_dict(spec)
        except BadInput:
            return False
        return full.digest not in seen and not space.forbidden(full.to_dict())

    size = space.size
    generator = np.random.default_rng(seed)
    if size is None or size > LARGEST_GRID:
        for _ in range(1000):
            sampler = optuna.samplers.RandomSampler(seed=int(generator.integers(2**31)))
            drawn = asked(space, optuna.create_study(), sampler)
            if new(drawn.spec):
                return Proposal(drawn.spec)
        return None
    for index in generator.permutation(size):
        spec = space.at(int(index))
        if new(spec):
            return Proposal(spec)
    return None


def spec_digest(spec: SpecDict) -> str:
    """The digest of the pipeline that a proposal stands for, defaults filled in; of itself if it cannot be one."""
    try:
        return PipelineSpec.from_dict(spec).digest
    except BadInput:
        return digest(spec)
