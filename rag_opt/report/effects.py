"""What each choice did to the objective, all others held equal: adjusted means with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.evaluation.intervals import mean_interval
from rag_opt.study.space.domains import Scalar

ABSENT = "–"  # where a trial has no such parameter
_MOST_LEVELS, _BINS = 6, 4
_RIDGE = 0.1  # trials: how far a level of few trials is drawn towards none
_LEAST_TRIALS = 8


@dataclass(frozen=True)
class Level:
    """A choice: its name, how many trials have it, and its gain over the parameter's mean, as a share of 1."""

    name: str
    trials: int
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Effect:
    """A parameter with the gains of its levels, in the order of their values. `trials`: of the whole study."""

    path: str
    levels: tuple[Level, ...]
    trials: int

    @property
    def size(self) -> float:
        """How far its choice moves a trial: the mean size of the gains over all trials, 0 for those without it."""
        return sum(level.trials * abs(level.gain) for level in self.levels) / max(self.trials, 1)


def measure_effects(
    parameters: Sequence[Mapping[str, Scalar]], values: FloatArray, clusters: Sequence[str]
) -> list[Effect]:
    """Return the effect of each parameter that varies, the largest first.

    `parameters`: by trial its settings by path; a conditional one is missing where it does not apply. `values`
    [trials, questions]: the objective, higher is better, NaN where a question was not scored. `clusters` of questions.

    Every trial is asked the same questions, so the model (a sum of the levels' effects, by ridge regression) is fitted
    question by question, and its coefficients are means over questions with a cluster-robust error. That pairs trials:
    a question that is hard for all of them moves no effect. The intervals say how sure the effects are for other
    questions, not for other trials.
    """
    scored = ~np.asarray(np.isnan(values).any(axis=0))
    if len(parameters) < _LEAST_TRIALS or scored.sum() < 2:
        return []
    names = {path: _levels_of(path, parameters) for path in sorted({path for one in parameters for path in one})}
    varying = {path: levels for path, levels in names.items() if len(set(levels)) > 1}
    columns = [
        (path, name) for path, levels in varying.items() for name in dict.fromkeys(_ordered(levels)) if name != ABSENT
    ]
    design = np.array([[float(varying[path][trial] == name) for path, name in columns] for trial in range(len(values))])
    present = np.array([[varying[path][trial] != ABSENT for path, _ in columns] for trial in range(len(values))])
    # centred among the trials that have the setting, so that it takes nothing of the kind that it belongs to
    centred = np.where(present, design - design.sum(axis=0) / present.sum(axis=0), 0.0)
    solve = np.linalg.solve(centred.T @ centred + _RIDGE * np.eye(len(columns)), centred.T)
    known = values[:, scored]
    by_question = solve @ (known - known.mean(axis=0))  # [columns, questions]
    units = [unit for unit, kept in zip(clusters, scored.astype(bool).tolist(), strict=True) if kept]
    effects = [_effect(path, columns, design, by_question, units) for path in varying]
    return sorted((one for one in effects if len(one.levels) > 1), key=lambda one: -one.size)


def _effect(
    path: str, columns: Sequence[tuple[str, str]], design: FloatArray, by_question: FloatArray, units: Sequence[str]
) -> Effect:
    own = [row for row, (other, _) in enumerate(columns) if other == path]
    counts = design[:, own].sum(axis=0)
    mean = (counts @ by_question[own]) / counts.sum()
    levels = []
    for row, count in zip(own, counts, strict=True):
        interval = mean_interval(by_question[row] - mean, units)
        levels.append(Level(columns[row][1], int(count), interval.mean, interval.low, interval.high))
    return Effect(path, tuple(levels), len(design))


def _levels_of(path: str, parameters: Sequence[Mapping[str, Scalar]]) -> list[str]:
    """Return the level of each trial; many numbers are put together to a few ranges."""
    values = [one.get(path, ABSENT) for one in parameters]
    numbers = sorted({value for value in values if isinstance(value, int | float) and not isinstance(value, bool)})
    if len(numbers) <= _MOST_LEVELS:
        return [_written(value) for value in values]
    edges = sorted({numbers[round(i * (len(numbers) - 1) / _BINS)] for i in range(_BINS + 1)})
    return [_range_of(value, edges) if value in numbers else _written(value) for value in values]


def _range_of(value: object, edges: Sequence[float]) -> str:
    assert isinstance(value, int | float)
    upper = next((i for i in range(1, len(edges)) if value <= edges[i]), len(edges) - 1)
    return f"{edges[upper - 1]:g}–{edges[upper]:g}"


def _written(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _ordered(levels: Sequence[str]) -> list[str]:
    """Return level names in the order of their numbers, words behind them."""

    def key(name: str) -> tuple[int, float, str]:
        try:
            return 0, float(name.split("–", maxsplit=1)[0]), name
        except ValueError:
            return 1, 0.0, name

    return sorted(levels, key=key)
