"""How much each setting mattered to the value of a trial, by Optuna's PED-ANOVA."""

from __future__ import annotations

import warnings
from pathlib import Path

import optuna

from rag_opt.study.trials import read_study

_LEAST_TRIALS, _GOOD_SHARE = 8, 0.25  # fewer trials say nothing; the better ones of them


def measure_importance(database: Path, name: str) -> dict[str, float]:
    """Return the share of each parameter in what sets good trials apart; the shares sum to 1, the largest first.

    PED-ANOVA (Watanabe, Bansal & Hutter, 2023) compares where the better trials lie with where all lie, parameter by
    parameter, also of those that only some trials have. Empty for few trials. Raises BadStudy where the study cannot
    be read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return read_study(database, name, _measure)


def _measure(study: optuna.Study) -> dict[str, float]:
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(complete) < _LEAST_TRIALS:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=_GOOD_SHARE)
        sign = -1.0 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else 1.0  # it looks for low values
        try:
            found = optuna.importance.get_param_importances(
                study, evaluator=evaluator, target=lambda trial: sign * float(trial.values[0])
            )
        except (ValueError, RuntimeError):  # nothing varies
            return {}
    return {path: float(share) for path, share in found.items()}
