"""Recovery of a study's rows that are missing or damaged."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from rag_opt.core.errors import ServerFailed
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.evaluation import evaluate
from rag_opt.study.search import Search
from rag_opt.study.trials import Trial

_SAME_VALUE = 1e-9


def recover_rows(search: Search, trials: Sequence[Trial]) -> Iterator[str]:
    """Make the rows of finished trials again where they are not what was written; yield what was done, in words.

    A complete trial is asked again: what it returned is stored as a rule, and costs nothing. A trial that lost a race
    is only named.
    """
    for trial in trials:
        if trial.state != "COMPLETE" and not trial.rows_digest:
            continue
        damage = search.folder.find_damaged_rows(trial.number, trial.rows_digest)
        if not damage:
            continue
        path = search.folder.rows_path(trial.number)
        if trial.state != "COMPLETE":
            yield f"{path} {damage}; trial {trial.number} was not asked all questions, and its rows are not made again"
        else:
            try:
                yield f"{path} {damage}; {_ask_again(search, trial)}"
            except ServerFailed as error:
                yield f"{path} {damage}; trial {trial.number} could not be asked again now: {error}"


def _ask_again(search: Search, trial: Trial) -> str:
    spec = PipelineSpec.from_dict(trial.spec)
    evaluation = evaluate(search.builder, spec, search.questions, search.objective_set)
    path = search.folder.rows_path(trial.number)
    if path.exists():
        path.replace(path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
    search.folder.note_recovered(
        trial.number, search.folder.save_rows(trial.number, evaluation.run, evaluation.columns)
    )
    value = float(np.nanmean(evaluation.optimised))
    if trial.value is not None and abs(value - trial.value) > _SAME_VALUE:
        return (
            f"trial {trial.number} was asked again and scores {value:.6g}, where study.db says {trial.value:.6g}: its "
            "trials cannot be compared with each other; give this search another study.name"
        )
    return f"trial {trial.number} was asked again, and scores the same"
