"""What trials cost: seconds per stage, learned from those that were run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.study.space.space import SpecDict

Stages = Mapping[str, tuple[float, float]]
_SPREAD = 0.3  # of log seconds around what work alone says
_SLOPE, _SLOPE_SPREAD = 1.0, 0.1  # of log seconds by log work: nearly all stages are linear
_START_SPREAD = 2.0
# seconds per unit of work before anything was measured: a character cut, a model distilled, a token embedded, a chunk
# indexed, a question
_START = {
    "chunk": 2e-6,
    "distil": 20.0,
    "embed": 2e-4,
    "compare": 2e-4,
    "index": 5e-4,
    "search": 1e-3,
    "rewrite": 1.0,
    "rerank": 2e-3,
    "answer": 5e-3,
    "rest": 1e-3,
}
_ELSE = 1e-3
TRIAL = "trial"  # what every trial takes whatever is stored: fusing, packing, scoring, writing
_TRIAL_SECONDS = 0.1


class CostModel:
    """log seconds = a[stage] + b[stage] * log(work): Bayesian regression per stage, b near one.

    A stage that was never run starts where the others of its family ("embed …") are.
    """

    def __init__(self, measured: Iterable[Stages] = ()) -> None:
        seen: dict[str, list[tuple[float, float]]] = {}
        for stages in measured:
            for name, (work, seconds) in stages.items():
                if work > 0 and seconds > 0:
                    seen.setdefault(name, []).append((math.log(work), math.log(seconds)))
        self._lines = {name: _line(points, _start(name)) for name, points in seen.items()}

    def seconds(self, name: str, work: float) -> float:
        """Expected seconds of so much work."""
        if work <= 0:
            return 0.0
        if name == TRIAL:
            return _TRIAL_SECONDS
        intercept, slope = self._lines.get(name) or self._of_family(name)
        return math.exp(intercept + slope * math.log(work))

    def _of_family(self, name: str) -> tuple[float, float]:
        family = name.partition(" ")[0]
        kin = [line for other, line in self._lines.items() if other.partition(" ")[0] == family]
        return (
            (float(np.mean([a for a, _ in kin])), float(np.mean([b for _, b in kin]))) if kin else (_start(name), 1.0)
        )


def _start(name: str) -> float:
    return math.log(_START.get(name.partition(" ")[0], _ELSE))


def _line(points: Sequence[tuple[float, float]], start: float) -> tuple[float, float]:
    """Intercept and slope, posterior means."""
    work, seconds = np.array(points).T
    design = np.stack([np.ones_like(work), work], axis=1)
    prior = np.diag([1 / _START_SPREAD**2, 1 / _SLOPE_SPREAD**2])
    precision = design.T @ design / _SPREAD**2 + prior
    a, b = np.linalg.solve(precision, design.T @ seconds / _SPREAD**2 + prior @ np.array([start, _SLOPE]))
    return float(a), float(b)


@dataclass(frozen=True)
class Prior:
    """What is known of an embedding model before it is tried: variants of one `family` share their vectors.

    `quality` as its card says; `studied` as earlier studies of the same data found. Higher is better.
    """

    family: str
    parameters_millions: float | None = None
    quality: float | None = None
    studied: float | None = None


@dataclass(frozen=True)
class CostForecast:
    """What a sampler may know beside the scores: what each pipeline would cost now, and what is left to spend.

    `work`: the stages that are missing for a pipeline, each with its work. `spent`: share of the budget, in [0, 1].
    `priors` by the names of the embedding models.
    """

    work: Callable[[SpecDict], Iterable[tuple[str, float]]] = lambda _: ()
    costs: CostModel = field(default_factory=CostModel)
    spent: float = 0.0
    priors: Mapping[str, Prior] = field(default_factory=dict)

    def seconds(self, specs: Sequence[SpecDict]) -> FloatArray:
        """[specs]: predicted seconds of each as the next trial."""
        return np.array([sum(self.costs.seconds(*stage) for stage in self.work(spec)) for spec in specs], float)
