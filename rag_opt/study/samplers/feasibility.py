"""Chances of pipelines that were not tried to stay within the guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.pipeline.spec import SpecDict
from rag_opt.study.samplers.surrogate import Features, Surrogate

_LEAST_SPREAD = 0.1  # of the deviation of the excesses seen: no pipeline is surely inside because its neighbours are


def log_chance_within_guards(
    features: Features,
    specs: Sequence[SpecDict],
    excesses: Sequence[Mapping[str, float]],
    candidates: Sequence[SpecDict],
) -> FloatArray:
    """Return the log of each candidate's chance to keep all guards, [candidates].

    `excesses`: by tried pipeline and guard how far it is outside, 0 or less inside. Each guard that any of them breaks
    has a surrogate of its own; guards count as independent (Gardner et al., 2014).
    """
    from scipy.special import log_ndtr

    total = np.zeros(len(candidates))
    for name in dict.fromkeys(name for of_trial in excesses for name in of_trial):
        rows = [row for row, of_trial in enumerate(excesses) if name in of_trial]
        values = np.array([excesses[row][name] for row in rows])
        if not (values > 0).any():
            continue
        if (values > 0).all():  # nothing to learn from where inside lies
            continue
        # far outside is as bad as farther outside: the model should tell where the limit is
        values = np.clip(values, -np.abs(values).max(), 3 * float(np.median(np.abs(values))) + 1e-9)
        try:
            model = Surrogate.fit(features, [specs[row] for row in rows], values)
        except (ValueError, np.linalg.LinAlgError):
            continue
        mean, spread = model.predict(candidates)
        total += log_ndtr(-mean / np.maximum(spread, _LEAST_SPREAD * float(values.std())))
    return total
