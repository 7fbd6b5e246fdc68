"""Costs of trials in seconds per stage: from a table for proposals, learned from trials for forecasts."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.pipeline.spec import SpecDict

StageCosts = Mapping[str, tuple[float, float]]  # by stage its work and the seconds that it took
TRIAL = "trial"  # what every trial takes whatever is stored: fusing, packing, scoring, writing
_TRIAL_SECONDS = 0.1
_SPREAD = 0.3  # of log seconds around what work alone says
_SLOPE, _SLOPE_SPREAD = 1.0, 0.1  # of log seconds by log work: nearly all stages are linear
_INTERCEPT_SPREAD = 2.0
_OTHER_SECONDS = 1e-3  # a question, of what has no line in the table


# the table that proposals are made by, and that forecasts begin with before anything was measured; models of
# UNIT_MILLIONS parameters, rounded from searches on two cores
UNIT_SECONDS: Mapping[str, float] = MappingProxyType(
    {
        "chunk": 1e-6,  # a character
        "context": 0.2,  # a chunk, by a language model, several at once
        "distil": 20.0,  # a model
        "embed": 1e-4,  # a token
        "compare": 1e-4,  # a token of a question or an answer
        "index": 5e-4,  # a chunk
        "search": 1e-4,  # a question
        "rewrite": 1.0,  # a question, by a language model
        "rerank": 5e-3,  # a pair of question and text, or a question
        "answer": 5e-5,  # a token of context, by extraction
        "answer by a language model": 1e-3,  # the same
    }
)
UNIT_MILLIONS = 11.0  # of MiniLM's 22.7 million, without its table of tokens
_BY_SIZE = ("embed", "compare", "distil", "rerank")  # their time grows with their model
_LEAST_SIZE = 0.05  # a static model reads its tokens too


class Costs(Protocol):
    """Seconds that work takes."""

    def seconds(self, name: str, work: float) -> float:
        """Return the expected seconds of so much work of a stage."""
        ...


class UnitCosts:
    """Seconds by a table: kind and size of the model, times the amount of work. No clock decides what is tried.

    `millions` of parameters that compute, by the name of a model, where they are known; `by_llm`: stages whose answers
    a language model writes.
    """

    def __init__(self, millions: Mapping[str, float | None], *, by_llm: Collection[str] = ()) -> None:
        self._millions, self._by_llm = millions, by_llm

    def seconds(self, name: str, work: float) -> float:
        """Return the nominal seconds of so much work of a stage."""
        if work <= 0:
            return 0.0
        if name == TRIAL:
            return _TRIAL_SECONDS
        if name in self._by_llm:
            return work * UNIT_SECONDS["answer by a language model"]
        family, _, rest = name.partition(" ")
        return work * UNIT_SECONDS.get(family, _OTHER_SECONDS) * self._size(family, rest)

    def _size(self, family: str, rest: str) -> float:
        millions = self._millions.get(rest) if family in _BY_SIZE else None
        return 1.0 if millions is None else max(millions / UNIT_MILLIONS, _LEAST_SIZE)


class CostModel:
    """log seconds = a[stage] + b[stage] * log(work): Bayesian regression per stage, b near one.

    A stage that was never run starts where the others of its family ("embed …") are.
    """

    def __init__(self, measured: Iterable[StageCosts] = ()) -> None:
        points: dict[str, list[tuple[float, float]]] = {}
        for stages in measured:
            for name, (work, seconds) in stages.items():
                if work > 0 and seconds > 0:
                    points.setdefault(name, []).append((math.log(work), math.log(seconds)))
        self._lines = {name: _fit_line(of_stage, _prior_intercept(name)) for name, of_stage in points.items()}

    def seconds(self, name: str, work: float) -> float:
        """Return the expected seconds of so much work of a stage."""
        if work <= 0:
            return 0.0
        if name == TRIAL:
            return _TRIAL_SECONDS
        intercept, slope = self._lines.get(name) or self._family_line(name)
        return math.exp(intercept + slope * math.log(work))

    def _family_line(self, name: str) -> tuple[float, float]:
        family = name.partition(" ")[0]
        lines = [line for other, line in self._lines.items() if other.partition(" ")[0] == family]
        if not lines:
            return _prior_intercept(name), _SLOPE
        return float(np.mean([intercept for intercept, _ in lines])), float(np.mean([slope for _, slope in lines]))


def _prior_intercept(name: str) -> float:
    return math.log(UNIT_SECONDS.get(name.partition(" ")[0], _OTHER_SECONDS))


def _fit_line(points: Sequence[tuple[float, float]], prior_intercept: float) -> tuple[float, float]:
    """Return intercept and slope, their posterior means."""
    work, seconds = np.array(points).T
    design = np.stack([np.ones_like(work), work], axis=1)
    prior = np.diag([1 / _INTERCEPT_SPREAD**2, 1 / _SLOPE_SPREAD**2])
    precision = design.T @ design / _SPREAD**2 + prior
    target = design.T @ seconds / _SPREAD**2 + prior @ np.array([prior_intercept, _SLOPE])
    intercept, slope = np.linalg.solve(precision, target)
    return float(intercept), float(slope)


@dataclass(frozen=True)
class Prior:
    """Facts about an embedding model that are known before it is tried. Variants of one `family` share their vectors.

    `quality`: its published score on the benchmark that most models of the space have one on; None where it has none.
    """

    family: str
    parameters_millions: float | None = None
    quality: float | None = None


@dataclass(frozen=True)
class CostForecast:
    """Facts that a sampler may use beside the scores: the cost of every pipeline as of now, and what is left to spend.

    `work` gives the stages that are missing for a pipeline, each with its work. `spent`: share of the budget, in
    [0, 1]. `priors` by the names of the embedding models. `expected`: what earlier studies expect of each pipeline,
    standardised, [specs]; None where nothing is learned from any.
    """

    work: Callable[[SpecDict], Iterable[tuple[str, float]]] = lambda _: ()
    costs: Costs = field(default_factory=CostModel)
    spent: float = 0.0
    priors: Mapping[str, Prior] = field(default_factory=dict)
    expected: Callable[[Sequence[SpecDict]], FloatArray] | None = None

    def seconds(self, specs: Sequence[SpecDict]) -> FloatArray:
        """Return the predicted seconds of each pipeline as the next trial, [specs]; infinite for an impossible one."""
        return np.array([sum(self.costs.seconds(*stage) for stage in self.work(spec)) for spec in specs], float)
