"""A sampler that spends where it learns: expected improvement of an additive model against the forecast cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import optuna
from annotated_doc import Doc
from annotated_types import Ge, Le
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import FloatArray
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.pipeline.spec import INDEX_SLOTS, SpecDict
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.samplers.feasibility import GuardModel
from rag_opt.study.samplers.first_design import FirstDesign, model_name
from rag_opt.study.samplers.interfaces import Proposal
from rag_opt.study.samplers.proposals import is_new, suggest_pipeline, to_distribution
from rag_opt.study.samplers.surrogate import Features, Surrogate, log_expected_improvement
from rag_opt.study.samplers.tpe import Tpe
from rag_opt.study.space.domains import Domain, Scalar, draw_below
from rag_opt.study.space.space import Space

_RANDOM_CANDIDATES, _CANDIDATES_PER_NEIGHBOUR, _CANDIDATES_PER_INDEX = 400, 60, 12
_BEST_TRIALS, _LAST_INDEXES = 5, 40
_MIN_TRIALS_TO_FIT = 6
_MOST_BROKEN = 2  # failed trials of a model that never answered, after which it is left alone
_CAUTION = 2.0  # how much more the chance to keep the guards weighs than in expected constrained improvement


@register("sampler", "cost_aware")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class CostAware:
    """Maximises log expected improvement - `eta` * log(seconds); `eta` cools as the budget is spent.

    Seconds are work times a table of unit costs, not a clock's: the same seed tries the same on a busy machine.

    Begins with `design` varied query-time settings on one index; every other family of embedding models enters in the
    first half of the budget, the cheap ones first, at the best settings so far, and at the end the best pipeline is
    tried with cheaper models. TPE proposes where its model cannot be
    fitted, where there is but one index, and for several objectives.
    """

    eta: Annotated[float, Ge(0), Le(5), Doc("Weight of the log of the predicted seconds; 0: cost does not matter.")] = (
        1.0
    )
    design: Annotated[
        int, Ge(1), Le(100), Doc("Trials with varied settings on one index, before the model begins.")
    ] = 6
    paid: Annotated[
        Literal["study", "store"],
        Doc(
            "What counts as built already: study: by its own trials, so that the same seed finds the same whatever is "
            "stored; store: everything that is stored, with seconds as they were measured."
        ),
    ] = "study"

    def propose(
        self,
        space: Space,
        study: optuna.Study,
        *,
        seed: int,
        tried_digests: Collection[str],
        cost_forecast: CostForecast,
    ) -> Proposal | None:
        """Return the new pipeline that is worth its cost most."""
        sampler = CostAwareSampler(
            space, cost_forecast, seed=seed, tried_digests=tried_digests, eta=self.eta, design=self.design
        )
        try:
            one_index = all(space.slot_size(slot) == 1 for slot in INDEX_SLOTS)
            if one_index or len(study.directions) > 1:
                raise CannotModel  # nothing to save, or no single best to improve on
            proposal = suggest_pipeline(space, study, sampler)
        except CannotModel:
            return Tpe().propose(space, study, seed=seed, tried_digests=tried_digests, cost_forecast=cost_forecast)
        return Proposal(proposal.spec, proposal.trial, sampler.expected_improvement)


class CannotModel(Exception):
    """The scores so far do not allow a model: all equal, or too few."""


class CostAwareSampler(optuna.samplers.BaseSampler):
    """Cost-aware sampling as an Optuna sampler over one `Space`, for one ask. Raises CannotModel from `study.ask`.

    `expected_improvement` is known after an ask that the model answered.
    """

    def __init__(
        self,
        space: Space,
        cost_forecast: CostForecast,
        *,
        seed: int,
        tried_digests: Collection[str],
        eta: float = 1.0,
        design: int = 6,
    ) -> None:
        self._space, self._cost_forecast, self._tried_digests = space, cost_forecast, tried_digests
        self._eta, self._design = eta, design
        self._random = np.random.default_rng(seed)
        self._independent = optuna.samplers.RandomSampler(seed=seed)
        self._chosen: dict[str, tuple[Scalar, Domain]] = {}
        self._left_alone: set[str] = set()  # embedding models that have yet to enter, or never answered
        self.expected_improvement: float | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Choose the pipeline, and return the distributions of its parameters."""
        spec = self._choose(study)
        self._chosen = (self._space.parameters(spec) if spec is not None else None) or {}
        return {path: to_distribution(domain) for path, (_, domain) in self._chosen.items()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Scalar]:
        """Return the parameters of the chosen pipeline."""
        return {path: value for path, (value, _) in self._chosen.items()}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        """Return a random value of a parameter that is not of the space."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _choose(self, study: optuna.Study) -> SpecDict | None:
        sign = 1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1.0
        specs, scores, excesses = list[SpecDict](), list[float](), list[dict[str, float]]()
        failed = Counter[str]()
        for trial in study.get_trials(deepcopy=False):
            spec, score = self._space.spec_from_parameters(trial.params), _score(trial)
            if spec is not None and score is None and trial.state == TrialState.FAIL:
                failed[model_name(spec)] += 1
            if spec is not None and score is not None:
                specs.append(spec)
                scores.append(sign * score)
                excesses.append(trial.constraints)
        answering = {model_name(spec) for spec in specs}
        self._left_alone = {name for name, count in failed.items() if name not in answering and count >= _MOST_BROKEN}
        ranked = _rank_last(np.array(scores), excesses)
        design = FirstDesign(self._space, self._cost_forecast, self._random, self._design, self._filter_new)
        asked = answering | failed.keys()
        from_design = design.choose(specs, ranked, asked)
        if from_design is not None:
            return from_design
        cheaper = design.check_cheaper(specs, ranked)
        if cheaper is not None:
            return cheaper
        self._left_alone |= design.waiting(specs, asked)
        if len(specs) < _MIN_TRIALS_TO_FIT:
            raise CannotModel
        return self._choose_by_model(specs, np.array(scores), ranked, excesses)

    def _choose_by_model(
        self,
        specs: Sequence[SpecDict],
        scores: FloatArray,
        ranked: FloatArray,
        excesses: Sequence[Mapping[str, float]],
    ) -> SpecDict:
        features = Features(self._space)
        expected, weight = self._weigh_expectations(specs, scores)
        try:
            model = Surrogate.fit(features, specs, scores - expected)
        except (ValueError, np.linalg.LinAlgError):
            raise CannotModel from None
        candidates, seconds = self._filter_possible(self._candidates(specs, ranked))
        mean, spread = model.predict(candidates)
        if weight and self._cost_forecast.expected is not None:
            mean = mean + weight * self._cost_forecast.expected(candidates)
        best = float(scores[int(ranked.argmax())])
        gain = log_expected_improvement(mean, spread, best)
        gain += _CAUTION * GuardModel(features, specs, excesses).log_chance(candidates)
        worth = gain - self._eta * (1 - self._cost_forecast.spent) * np.log(seconds)
        for row in np.argsort(-worth, kind="stable"):
            chosen: SpecDict = candidates[int(row)]
            if self._is_new(chosen):
                # of all candidates, not only of one that is worth its cost
                self.expected_improvement = float(np.exp(gain.max()))
                return chosen
        raise CannotModel

    def _weigh_expectations(self, specs: Sequence[SpecDict], scores: FloatArray) -> tuple[FloatArray, float]:
        """Return what earlier studies expect of the tried pipelines, in units of the score, and the weight of that.

        The weight is the slope of the scores by the expectations, drawn to 0 by one standardised observation (ridge):
        studies of documents that are nothing like these are soon not listened to.
        """
        if self._cost_forecast.expected is None:
            return np.zeros(len(scores)), 0.0
        expected = self._cost_forecast.expected(specs)
        centred = expected - expected.mean()
        weight = max(float(centred @ (scores - scores.mean())) / (float(centred @ centred) + 1.0), 0.0)
        return weight * expected, weight

    def _filter_possible(self, specs: Iterable[SpecDict]) -> tuple[list[SpecDict], FloatArray]:
        """Return the pipelines that can exist, and the seconds that each would take."""
        every = list(specs)
        seconds = self._cost_forecast.seconds(every)
        possible = np.flatnonzero(np.isfinite(seconds))
        return [every[i] for i in possible], np.maximum(seconds[possible], 1e-3)

    def _filter_new(self, specs: Sequence[SpecDict]) -> list[SpecDict]:
        """Return the pipelines that can exist and were not tried."""
        possible, _ = self._filter_possible(specs)
        return [spec for spec in possible if self._is_new(spec)]

    def _is_new(self, spec: SpecDict) -> bool:
        return model_name(spec) not in self._left_alone and is_new(self._space, spec, self._tried_digests)

    def _complete(self, spec: SpecDict) -> SpecDict:
        return self._space.complete(spec, self._random)

    def _candidates(self, specs: Sequence[SpecDict], scores: FloatArray) -> Iterator[SpecDict]:
        """Yield random pipelines, neighbours of the best, and other query-time settings on every built index."""
        draws = [self._space.draw(self._random) for _ in range(_RANDOM_CANDIDATES)]
        for row in np.argsort(-scores, kind="stable")[:_BEST_TRIALS]:
            draws += [self._draw_neighbour(specs[row]) for _ in range(_CANDIDATES_PER_NEIGHBOUR)]
        built = {repr([spec[slot] for slot in INDEX_SLOTS]): spec for spec in specs}
        for base in list(built.values())[-_LAST_INDEXES:]:
            for _ in range(_CANDIDATES_PER_INDEX):
                drawn = self._space.draw(self._random)
                draws.append(self._complete({**drawn, **{slot: base[slot] for slot in INDEX_SLOTS}}))
        yield from {repr(spec): spec for spec in draws}.values()

    def _draw_neighbour(self, spec: SpecDict) -> SpecDict:
        """Return the pipeline with one or two slots changed: one setting of them, or all."""
        neighbour = {slot: dict(part) for slot, part in spec.items()}
        order = sorted(neighbour, key=lambda slot: float(self._random.random()))
        for slot in order[: 1 + draw_below(self._random, 2)]:
            ((kind, settings),) = neighbour[slot].items()
            other = self._space.draw_part(slot, self._random)
            if kind in other and settings:
                name = list(settings)[draw_below(self._random, len(settings))]
                neighbour[slot] = {kind: {**settings, name: other[kind][name]}}
            else:
                neighbour[slot] = dict(other)
        return self._complete(neighbour)


def _rank_last(scores: FloatArray, excesses: Sequence[Mapping[str, float]]) -> FloatArray:
    """Return the scores, lowered below all others where a guard is broken, by how far it is."""
    outside = np.array([sum(max(excess, 0.0) for excess in of_trial.values()) for of_trial in excesses])
    if not (outside > 0).any() or not len(scores):
        return scores
    span = float(np.ptp(scores)) + 1.0
    return np.where(outside > 0, scores.min() - span * (1 + outside), scores)


def _score(trial: FrozenTrial) -> float | None:
    """Return its value; of one that lost a race the estimate of it; None where nothing was scored."""
    if trial.state == TrialState.COMPLETE:
        return trial.value
    if trial.state == TrialState.PRUNED and trial.intermediate_values:
        return trial.intermediate_values[max(trial.intermediate_values)]
    return None
