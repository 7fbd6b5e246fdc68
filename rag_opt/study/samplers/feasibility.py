"""Chances of pipelines that were not tried to stay within the guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import optuna

from rag_opt.core.arrays import FloatArray
from rag_opt.pipeline.spec import SpecDict
from rag_opt.study.samplers.surrogate import Features, Surrogate
from rag_opt.study.space.space import Space

_LEAST_SPREAD = 0.1  # of the deviation of the excesses seen: no pipeline is surely inside because its neighbours are


class GuardModel:
    """What is known of the guards: for each that was broken, and kept, a surrogate of how far a pipeline is outside.

    `excesses`: by tried pipeline and guard how far it is outside, 0 or less inside.
    """

    def __init__(self, features: Features, specs: Sequence[SpecDict], excesses: Sequence[Mapping[str, float]]) -> None:
        self._surrogates: list[tuple[Surrogate, float]] = []
        for name in dict.fromkeys(name for of_trial in excesses for name in of_trial):
            rows = [row for row, of_trial in enumerate(excesses) if name in of_trial]
            values = np.array([excesses[row][name] for row in rows])
            if (values > 0).all() or not (values > 0).any():  # nothing to learn from where the limit is
                continue
            # far outside is as bad as farther outside: the model should tell where the limit is
            values = np.minimum(values, 3 * float(np.median(np.abs(values))) + 1e-9)
            try:
                surrogate = Surrogate.fit(features, [specs[row] for row in rows], values)
            except (ValueError, np.linalg.LinAlgError):
                continue
            self._surrogates.append((surrogate, _LEAST_SPREAD * float(values.std())))

    @staticmethod
    def of_study(space: Space, study: optuna.Study) -> GuardModel:
        """Return what the complete trials of a study say of the guards."""
        known = [
            (space.spec_from_parameters(trial.params), trial.constraints)
            for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        ]
        tried = [(spec, excesses) for spec, excesses in known if spec is not None]
        return GuardModel(Features(space), [spec for spec, _ in tried], [excesses for _, excesses in tried])

    def log_chance(self, candidates: Sequence[SpecDict]) -> FloatArray:
        """Return the log of each candidate's chance to keep all guards, [candidates].

        Guards count as independent (Gardner et al., 2014).
        """
        from scipy.special import log_ndtr

        total = np.zeros(len(candidates))
        for surrogate, least_spread in self._surrogates:
            mean, spread = surrogate.predict(candidates)
            total += log_ndtr(-mean / np.maximum(spread, least_spread))
        return total
