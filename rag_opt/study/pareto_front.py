"""The Pareto front of several objectives: the trials that no other one beats in all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag_opt.evaluation.interfaces import Direction
from rag_opt.study.trials import Trial


def find_pareto_front(trials: Sequence[Trial], directions: Sequence[Direction]) -> list[Trial]:
    """Return the Pareto front of the complete trials, best first in the first objective; of one objective its best."""
    complete = [trial for trial in trials if trial.values is not None and len(trial.values) == len(directions)]
    if not complete:
        return []
    signs = np.array([1.0 if direction == "maximize" else -1.0 for direction in directions])
    values = signs * np.array([trial.values for trial in complete], float)
    as_good = (values[:, None] >= values[None]).all(axis=2)
    better = (values[:, None] > values[None]).any(axis=2)
    dominated = (as_good & better).any(axis=0)
    front = [trial for trial, is_dominated in zip(complete, dominated, strict=True) if not is_dominated]
    return sorted(front, key=lambda trial: -signs[0] * (trial.value or 0.0))


def spread_over(front: Sequence[Trial], count: int) -> list[Trial]:
    """Return the trials of a front with `count` of them first that are spread evenly over it, both ends among them."""
    places = np.unique(np.linspace(0, len(front) - 1, min(count, len(front))).round().astype(int))
    first = [front[place] for place in places]
    return [*first, *(trial for trial in front if trial not in first)]
