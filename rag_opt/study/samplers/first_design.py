"""The pipelines that a search tries before a model of its scores is trusted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.pipeline.spec import INDEX_SLOTS, SpecDict
from rag_opt.study.cost.forecaster import model_names
from rag_opt.study.cost.model import CostForecast, Prior
from rag_opt.study.samplers.surrogate import Features
from rag_opt.study.space.space import Space

_DRAWS = 64
_LEVELS = 3  # settings of a slot that must be tried before the model is trusted with it
_LARGE_MILLIONS = 500.0  # parameters from which a model is not the first
_FAMILIES_BY = 0.5  # share of the budget until which every family was tried
_CLOSING_FROM = 0.85  # share of the budget from which the best pipeline is compared with cheaper models


@dataclass(frozen=True)
class FirstDesign:
    """Varied query-time settings on one index; then every other family of embedding models, each once.

    Families are compared at like settings, the best so far, the cheap ones first: what a dear one is tried with was
    found with the others. They are spread over the first half of the budget.

    `size`: trials with varied settings. `keep_new`: of some pipelines those that can exist and were not tried.
    """

    space: Space
    cost_forecast: CostForecast
    random: np.random.Generator
    size: int
    keep_new: Callable[[Sequence[SpecDict]], list[SpecDict]]

    def choose(self, specs: Sequence[SpecDict], scores: FloatArray, asked: Collection[str]) -> SpecDict | None:
        """Return the next pipeline of the design; None where the model has its turn.

        `specs` were tried, with `scores`; `asked`: embedding models that a trial asked for, those that failed included.
        """
        draws = [self.space.draw(self.random) for _ in range(_DRAWS)]
        families = self._families(specs)
        if len(specs) < self.size:
            return self._most_different(self._move_to_one_index(draws, specs, scores, families[0]), specs)
        slots = [slot for slot in self.space.tree if slot not in INDEX_SLOTS and self._hardly_varied(slot, specs)]
        if slots and len(specs) < 2 * self.size:
            base: SpecDict = specs[int(scores.argmax())]
            varied = [self._complete({**base, **{slot: spec[slot] for slot in slots}}) for spec in draws]
            return self._most_different(self.keep_new(varied), specs)
        untried = self._untried(families, asked)
        if untried and self._is_due(len(families) - len(untried), len(families), len(specs)):
            return self._enter_family(untried, specs, scores)
        return None

    def waiting(self, specs: Sequence[SpecDict], asked: Collection[str]) -> set[str]:
        """Return the models that have yet to enter: the model of the scores does not propose them, at odd settings."""
        families = self._families(specs)
        untried = self._untried(families, asked)
        due = self._is_due(len(families) - len(untried), len(families), len(specs))
        return set() if due else {name for names in untried for name in names}

    def check_cheaper(self, specs: Sequence[SpecDict], scores: FloatArray) -> SpecDict | None:
        """Return, near the end of the budget, the best pipeline with a cheaper model; None where each was tried so.

        The best settings may have been found with a dear model alone: then nobody knows what that model adds to them.
        Of several cheaper families the one that did best has the first turn.
        """
        if self.cost_forecast.spent < _CLOSING_FROM or not specs:
            return None
        order = [row for row in np.argsort(-scores, kind="stable") if model_name(specs[row])]
        if not order:
            return None
        best, seen = specs[order[0]], {_index_without_model(spec) + model_name(spec) for spec in specs}
        families = self._families(specs)
        tried = [next(names for names in families if model_name(specs[row]) in names) for row in order]
        for names in {id(names): names for names in tried}.values():  # those that did best first
            if model_name(best) in names or any(_index_without_model(best) + name in seen for name in names):
                continue
            draws = [self.space.draw(self.random) for _ in range(_DRAWS)]
            for entry in self._first_of_family(names, draws, [best], np.zeros(1)):
                if self._size(entry) < self._size(best):
                    return entry
        return None

    def _size(self, spec: SpecDict) -> float:
        """Return the millions of parameters of a pipeline's model; infinite where they are not known."""
        prior = self.cost_forecast.priors.get(model_name(spec))
        millions = None if prior is None else prior.parameters_millions
        return math.inf if millions is None else millions

    def _untried(self, families: Sequence[set[str]], asked: Collection[str]) -> list[set[str]]:
        return [names for names in families[1:] if names.isdisjoint(asked)]

    def _is_due(self, tried: int, families: int, trials: int) -> bool:
        """Return whether another family should enter after so many that were tried."""
        return self.cost_forecast.spent >= _FAMILIES_BY * tried / families or trials >= 2 * self.size * tried

    def _families(self, specs: Sequence[SpecDict]) -> list[set[str]]:
        """Return the names of the models by family: first the one that was tried first, or else the best small one."""
        names, priors = model_names(self.space), self.cost_forecast.priors
        if not names:  # words alone: a pipeline without a model has the name ""
            return [{""}]
        known = [prior.quality for prior in priors.values() if prior.quality is not None]
        usual = statistics.median(known) if known else 0.0
        first = next((model_name(spec) for spec in specs if model_name(spec) in names), None)
        by_family: dict[str, set[str]] = {}
        for name in sorted(names, key=lambda name: (name != first, _rank(priors.get(name), usual))):
            prior = priors.get(name)
            by_family.setdefault(prior.family if prior else name, set()).add(name)
        return list(by_family.values())

    def _enter_family(
        self, untried: Sequence[set[str]], specs: Sequence[SpecDict], scores: FloatArray
    ) -> SpecDict | None:
        """Return the pipeline of an untried family that costs least, each at the best settings that it can have."""
        draws = [self.space.draw(self.random) for _ in range(_DRAWS * len(untried))]
        entries = [entry for names in untried for entry in self._first_of_family(names, draws, specs, scores)]
        return entries[int(self.cost_forecast.seconds(entries).argmin())] if entries else None

    def _first_of_family(
        self, names: set[str], draws: Sequence[SpecDict], specs: Sequence[SpecDict], scores: FloatArray
    ) -> Iterator[SpecDict]:
        embedders = list({repr(one["embedder"]): one["embedder"] for one in draws if model_name(one) in names}.values())
        # one of words alone would lose its embedder again
        ranked = [specs[row] for row in np.argsort(-scores, kind="stable") if model_name(specs[row])]
        for base in ranked:
            alike = sorted(embedders, key=lambda embedder: _differences(base["embedder"], embedder))
            new = self.keep_new([{**base, "embedder": embedder} for embedder in alike])
            if new:
                yield new[0]
                return

    def _hardly_varied(self, slot: str, specs: Sequence[SpecDict]) -> bool:
        """Return whether fewer settings of a slot were tried than the model needs: a sweep varies one slot alone."""
        size = self.space.slot_size(slot)
        return len({repr(spec[slot]) for spec in specs}) < (_LEVELS if size is None else min(size, _LEVELS))

    def _move_to_one_index(
        self, draws: Sequence[SpecDict], specs: Sequence[SpecDict], scores: FloatArray, names: set[str]
    ) -> list[SpecDict]:
        """Return the drawn query-time settings on the best index of some models, or else on the cheapest."""
        tried = [row for row in np.argsort(-scores) if model_name(specs[row]) in names]
        of_names = [spec for spec in self.keep_new(draws) if model_name(spec) in names]
        if not of_names:
            return []
        index = specs[tried[0]] if tried else of_names[int(self.cost_forecast.seconds(of_names).argmin())]
        possible = self.keep_new(draws)
        return self.keep_new(
            [self._complete({**spec, **{slot: index[slot] for slot in INDEX_SLOTS}}) for spec in possible]
        )

    def _complete(self, spec: SpecDict) -> SpecDict:
        return self.space.complete(spec, self.random)

    def _most_different(self, specs: Sequence[SpecDict], tried: Sequence[SpecDict]) -> SpecDict | None:
        """Return the pipeline that shares fewest parameters with any that was tried."""
        if not specs:
            return None
        features = Features(self.space)
        rows, others = features.rows(specs), features.rows(tried)
        if not len(others):
            return specs[0]
        shared = ((rows[:, None] == others[None]) | (np.isnan(rows)[:, None] & np.isnan(others)[None])).mean(axis=2)
        return specs[int(shared.max(axis=1).argmin())]


def model_name(spec: SpecDict) -> str:
    """Return the name of a pipeline's embedding model; empty where it has none."""
    ((_, settings),) = spec["embedder"].items()
    return str(settings.get("name", ""))


def _index_without_model(spec: SpecDict) -> str:
    """Return what names the index of a pipeline beside its model."""
    return repr([spec[slot] for slot in INDEX_SLOTS if slot != "embedder"])


def _rank(prior: Prior | None, usual: float) -> tuple[bool, float, bool]:
    """Return the sort key of a model: small ones first, then by published quality; where none is known, the usual."""
    if prior is None:
        return False, -usual, True
    large = (prior.parameters_millions or 0.0) > _LARGE_MILLIONS
    return large, -(usual if prior.quality is None else prior.quality), prior.quality is None


def _differences(part: Mapping[str, Mapping[str, object]], other: Mapping[str, Mapping[str, object]]) -> int:
    """Return how many settings two embedders differ in beside their model; another kind differs in all."""
    ((kind, settings),), ((other_kind, others),) = part.items(), other.items()
    if kind != other_kind:
        return 1 + len(others)
    return sum(value != others.get(name) for name, value in settings.items() if name != "name")
