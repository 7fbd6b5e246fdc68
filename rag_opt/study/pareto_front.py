"""Several objectives: the trials that no other one beats in all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag_opt.study.trials import Direction, Trial


def front(trials: Sequence[Trial], directions: Sequence[Direction]) -> list[Trial]:
    """The Pareto front of the complete trials, best first in the first objective. With one objective: the best."""
    done = [trial for trial in trials if trial.values is not None and len(trial.values) == len(directions)]
    if not done:
        return []
    signs = np.array([1.0 if direction == "maximize" else -1.0 for direction in directions])
    values = signs * np.array([trial.values for trial in done], float)
    as_good = (values[:, None] >= values[None]).all(axis=2)
    better = (values[:, None] > values[None]).any(axis=2)
    beaten = (as_good & better).any(axis=0)
    kept = [trial for trial, gone in zip(done, beaten, strict=True) if not gone]
    return sorted(kept, key=lambda trial: -signs[0] * (trial.value or 0.0))
