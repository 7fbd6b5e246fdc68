"""A sampler that spends money where it teaches: expected improvement of an additive model against predicted cost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import optuna
from annotated_types import Ge, Le
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import FloatArray
from rag_opt.core.errors import BadInput
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.cost.forecaster import model_names
from rag_opt.study.cost.model import CostForecast, Prior
from rag_opt.study.samplers.interfaces import Proposal
from rag_opt.study.samplers.proposals import asked, distribution
from rag_opt.study.samplers.surrogate import Features, Surrogate, log_expected_improvement
from rag_opt.study.samplers.tpe import Tpe
from rag_opt.study.space.domains import Domain, Scalar, below
from rag_opt.study.space.space import Space, SpecDict

INDEX_SLOTS = ("chunker", "embedder")  # what must be built anew when it changes; all else rearranges what is stored
_RANDOM, _NEAR_EACH, _ON_EACH_INDEX = 400, 60, 12
_BEST, _INDEXES = 5, 40
_LARGE_MILLIONS = 500.0  # parameters from which a model waits until smaller ones were tried
_FEWEST_TO_FIT = 6
_LEVELS = 3


@register("sampler", "cost_aware")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class CostAware:
    """Maximises log expected improvement - `eta` * log(predicted seconds); `eta` cools as the budget is spent.

    Begins with `design` varied query-time settings on one index, then one pipeline of a second model family. Where its
    model cannot be fitted, where there is but one index, and for several objectives TPE proposes. `paid`: "study"
    counts what this study's trials built as paid, so that the same seed finds the same whatever is stored; "store"
    counts everything that is stored. `priors`: which model begins is what the cards say, or first what earlier studies
    of the same data found.
    """

    eta: Annotated[float, Ge(0), Le(5)] = 1.0
    design: Annotated[int, Ge(1), Le(100)] = 6

    paid: Literal["study", "store"] = "study"
    priors: Literal["cards", "studies"] = "cards"

    def propose(
        self, space: Space, study: optuna.Study, *, seed: int, seen: Collection[str], cost_forecast: CostForecast
    ) -> Proposal | None:
        sampler = CostAwareSampler(space, cost_forecast, seed=seed, seen=seen, eta=self.eta, design=self.design)
        try:
            one_index = space.slot_size("chunker") == space.slot_size("embedder") == 1
            if one_index or len(study.directions) > 1:
                raise CannotModel  # nothing to save, or no single best to improve on
            found = asked(space, study, sampler)
        except CannotModel:
            return Tpe().propose(space, study, seed=seed, seen=seen, cost_forecast=cost_forecast)
        return Proposal(found.spec, found.trial, sampler.expected_improvement)


class CannotModel(Exception):
    """The scores so far do not allow a model: all alike, or too few."""


class CostAwareSampler(optuna.samplers.BaseSampler):
    """The same as an Optuna sampler over one `Space`, made for one ask. Raises CannotModel from `study.ask`."""

    def __init__(
        self,
        space: Space,
        cost_forecast: CostForecast,
        *,
        seed: int,
        seen: Collection[str],
        eta: float = 1.0,
        design: int = 6,
    ) -> None:
        self._space, self._cost_forecast, self._seen = space, cost_forecast, seen
        self._eta, self._design = eta, design
        self._random = np.random.default_rng(seed)
        self._independent = optuna.samplers.RandomSampler(seed=seed)
        self._chosen: dict[str, tuple[Scalar, Domain]] = {}
        self.expected_improvement: float | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        spec = self._choose(study)
        self._chosen = (self._space.parameters(spec) if spec is not None else None) or {}
        return {path: distribution(domain) for path, (_, domain) in self._chosen.items()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {path: value for path, (value, _) in self._chosen.items()}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _choose(self, study: optuna.Study) -> SpecDict | None:
        scored = ((t, _score(t)) for t in study.get_trials(deepcopy=False))
        known = [(self._space.spec_of(t.params), score) for t, score in scored if score is not None]
        tried = [(spec, score) for spec, score in known if spec is not None]
        sign = 1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1.0
        specs, scores = [spec for spec, _ in tried], sign * np.array([score for _, score in tried])
        first = self._first_design(specs, scores)
        if first is not None:
            return first
        if len(specs) < _FEWEST_TO_FIT:
            raise CannotModel
        return self._by_model(specs, scores)

    def _by_model(self, specs: Sequence[SpecDict], scores: FloatArray) -> SpecDict | None:
        try:
            model = Surrogate.fit(Features(self._space), specs, scores)
        except (ValueError, np.linalg.LinAlgError):
            raise CannotModel from None
        candidates, seconds = self._possible(self._candidates(specs, scores))
        mean, spread = model.predict(candidates)
        gain = log_expected_improvement(mean, spread, float(scores.max()))
        worth = gain - self._eta * (1 - self._cost_forecast.spent) * np.log(seconds)
        for place in np.argsort(-worth, kind="stable"):
            chosen: SpecDict = candidates[int(place)]
            if self._is_new(chosen):
                # the best that any new pipeline promises, not only one that is worth its cost
                self.expected_improvement = float(np.exp(gain.max()))
                return chosen
        raise CannotModel

    def _possible(self, specs: Iterable[SpecDict]) -> tuple[list[SpecDict], FloatArray]:
        """Those that can exist, and the seconds that each would take."""
        every = list(specs)
        seconds = self._cost_forecast.seconds(every)
        kept = np.flatnonzero(np.isfinite(seconds))
        return [every[i] for i in kept], np.maximum(seconds[kept], 1e-3)

    def _new(self, specs: Sequence[SpecDict]) -> list[SpecDict]:
        """Those that can exist and were not tried."""
        possible, _ = self._possible(specs)
        return [spec for spec in possible if self._is_new(spec)]

    def _is_new(self, spec: SpecDict) -> bool:
        try:
            full = PipelineSpec.from_dict(spec)
        except BadInput:  # a rule between settings that only the part knows
            return False
        return full.digest not in self._seen and not self._space.forbidden(full.to_dict())

    def _first_design(self, specs: Sequence[SpecDict], scores: FloatArray) -> SpecDict | None:
        """Varied query-time settings on one good index, all slots of it; then the best of them on a second family."""
        anchor, hedge = self._families()
        draws = [self._space.draw(self._random) for _ in range(64)]
        if len(specs) < self._design:
            return self._unlike(self._on_one_index(self._new(draws), specs, scores, anchor), specs)
        few = [slot for slot in self._space.tree if slot not in INDEX_SLOTS and self._hardly_varied(slot, specs)]
        if few and len(specs) < 2 * self._design:
            base: SpecDict = specs[int(scores.argmax())]
            other = [{**base, **{slot: spec[slot] for slot in few}} for spec in self._new(draws)]
            return self._unlike([spec for spec in other if self._is_new(spec)], specs)
        if hedge and specs and not any(_model(spec) in hedge for spec in specs):
            best: SpecDict = specs[int(scores.argmax())]
            other_family = [spec["embedder"] for spec in self._new(draws) if _model(spec) in hedge]
            new = self._new([{**best, "embedder": embedder} for embedder in other_family])
            return new[int(self._cost_forecast.seconds(new).argmin())] if new else None
        return None

    def _hardly_varied(self, slot: str, specs: Sequence[SpecDict]) -> bool:
        """Whether fewer settings of a slot were tried than a model of it needs: a sweep varies one slot alone."""
        size = self._space.slot_size(slot)
        return len({repr(spec[slot]) for spec in specs}) < (_LEVELS if size is None else min(size, _LEVELS))

    def _on_one_index(
        self, drawn: Sequence[SpecDict], specs: Sequence[SpecDict], scores: FloatArray, anchor: set[str]
    ) -> list[SpecDict]:
        """The drawn query-time settings, on the best index of the anchor's models or else on the cheapest."""
        there = [place for place in np.argsort(-scores) if _model(specs[place]) in anchor]
        ours = [spec for spec in drawn if _model(spec) in anchor]
        if not ours:
            return []
        index = specs[there[0]] if there else ours[int(self._cost_forecast.seconds(ours).argmin())]
        return self._new([{**spec, **{slot: index[slot] for slot in INDEX_SLOTS}} for spec in drawn])

    def _unlike(self, specs: Sequence[SpecDict], tried: Sequence[SpecDict]) -> SpecDict | None:
        """The one that shares least with any that was tried."""
        if not specs:
            return None
        features = Features(self._space)
        rows, others = features.rows(specs), features.rows(tried)
        if not len(others):
            return specs[0]
        alike = ((rows[:, None] == others[None]) | (np.isnan(rows)[:, None] & np.isnan(others)[None])).mean(axis=2)
        return specs[int(alike.max(axis=1).argmin())]

    def _families(self) -> tuple[set[str], set[str]]:
        """Names of the models of the anchor's family and of the second one: small before large, then by quality."""
        names = model_names(self._space)
        ranked = sorted(names, key=lambda name: _rank(self._cost_forecast.priors.get(name)))
        by_family: dict[str, set[str]] = {}
        for name in ranked:
            prior = self._cost_forecast.priors.get(name)
            by_family.setdefault(prior.family if prior else name, set()).add(name)
        families = list(by_family.values())
        return families[0], families[1] if len(families) > 1 else set()

    def _candidates(self, specs: Sequence[SpecDict], scores: FloatArray) -> Iterator[SpecDict]:
        """Random pipelines, neighbours of the best, and other query-time settings on every index that is there."""
        draws = [self._space.draw(self._random) for _ in range(_RANDOM)]
        for place in np.argsort(-scores, kind="stable")[:_BEST]:
            draws += [self._moved(specs[place]) for _ in range(_NEAR_EACH)]
        built = {repr([spec[slot] for slot in INDEX_SLOTS]): spec for spec in specs}
        for base in list(built.values())[-_INDEXES:]:
            for _ in range(_ON_EACH_INDEX):
                draws.append({**base, **self._space.draw(self._random, but=INDEX_SLOTS)})
        yield from {repr(spec): spec for spec in draws}.values()

    def _moved(self, spec: SpecDict) -> SpecDict:
        """One slot drawn anew, or one or two settings of the pipeline."""
        moved = {slot: dict(part) for slot, part in spec.items()}
        order = sorted(moved, key=lambda slot: float(self._random.random()))
        for slot in order[: 1 + below(self._random, 2)]:
            ((kind, settings),) = moved[slot].items()
            other = self._space.draw_part(slot, self._random)
            if kind in other and settings:
                name = list(settings)[below(self._random, len(settings))]
                moved[slot] = {kind: {**settings, name: other[kind][name]}}
            else:
                moved[slot] = other
        return moved


def _score(trial: FrozenTrial) -> float | None:
    """Its value; of one that lost a race the mean of what it was asked; None where nothing was scored."""
    if trial.state == TrialState.COMPLETE:
        return trial.value
    if trial.state == TrialState.PRUNED and trial.intermediate_values:
        return trial.intermediate_values[max(trial.intermediate_values)]
    return None


def _model(spec: Mapping[str, Any]) -> str:
    ((_, settings),) = spec["embedder"].items()
    return str(settings.get("name", ""))


def _rank(prior: Prior | None) -> tuple[bool, bool, float, float]:
    """What was studied on the same data first, within a tier of size; a card's quality decides among the others."""
    if prior is None:
        return False, True, 0.0, 0.0
    large = (prior.parameters_millions or 0.0) > _LARGE_MILLIONS
    return large, prior.studied is None, -(prior.studied or 0.0), -(prior.quality or 0.0)
