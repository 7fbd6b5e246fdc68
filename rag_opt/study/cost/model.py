"""Costs of trials: seconds per stage, learned from the trials that were run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.pipeline.spec import SpecDict

StageCosts = Mapping[str, tuple[float, float]]  # by stage its work and the seconds that it took
TRIAL = "trial"  # what every trial takes whatever is stored: fusing, packing, scoring, writing
_TRIAL_SECONDS = 0.1
_SPREAD = 0.3  # of log seconds around what work alone says
_SLOPE, _SLOPE_SPREAD = 1.0, 0.1  # of log seconds by log work: nearly all stages are linear
_INTERCEPT_SPREAD = 2.0
# seconds per unit of work before anything was measured: a character cut, a model distilled, a token embedded, a chunk
# indexed, a question; of an answer a token of its context
_PRIOR_SECONDS = {
    "chunk": 2e-6,
    "distil": 20.0,
    "embed": 2e-4,
    "compare": 2e-4,
    "index": 5e-4,
    "search": 1e-3,
    "rewrite": 1.0,
    "rerank": 2e-3,
    "answer": 5e-6,
    "rest": 1e-3,
}
_OTHER_PRIOR_SECONDS = 1e-3


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
    return math.log(_PRIOR_SECONDS.get(name.partition(" ")[0], _OTHER_PRIOR_SECONDS))


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

    `quality`: as its card says, higher is better.
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
    costs: CostModel = field(default_factory=CostModel)
    spent: float = 0.0
    priors: Mapping[str, Prior] = field(default_factory=dict)
    expected: Callable[[Sequence[SpecDict]], FloatArray] | None = None

    def seconds(self, specs: Sequence[SpecDict]) -> FloatArray:
        """Return the predicted seconds of each pipeline as the next trial, [specs]; infinite for an impossible one."""
        return np.array([sum(self.costs.seconds(*stage) for stage in self.work(spec)) for spec in specs], float)
