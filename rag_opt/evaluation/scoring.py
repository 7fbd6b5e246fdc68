"""Scores of objectives over a run, each question's through the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np
import orjson

from rag_opt.core import strict as config
from rag_opt.core.arrays import FloatArray
from rag_opt.core.digests import digest, item_key, versions
from rag_opt.core.errors import BudgetSpent, ModelUnusable
from rag_opt.core.source_digest import source_digest
from rag_opt.evaluation.run import Objective, Run, Scores, ScoringResources
from rag_opt.models.event_loop import wait_for
from rag_opt.store.values import Values

_SHELF = "scores"


def score(objective: Objective, run: Run, tools: ScoringResources, values: Values) -> Scores:
    """The scores of a run; NaN for questions that a language model did not answer."""
    (scores,) = score_all([objective], run, tools, values)
    return scores


def score_all(objectives: Sequence[Objective], run: Run, tools: ScoringResources, values: Values) -> list[Scores]:
    """The scores of several objectives over one run. Those that ask a judge ask it at the same time."""
    works = [_Work(objective, run, tools, values) for objective in objectives]
    waiting = [work for work in works if work.todo is not None and hasattr(work.objective, "ascore")]
    asked = wait_for(_together([work.objective.ascore(work.todo, tools) for work in waiting])) if waiting else []  # type: ignore[attr-defined]
    known = dict(zip(map(id, waiting), asked, strict=True))
    scores = []
    for work in works:
        columns = known.get(id(work))
        if columns is None and work.todo is not None:
            columns = work.objective.score(work.todo, tools)
        scores.append(work.done(columns))
    return scores


async def _together(work: Sequence[Coroutine[Any, Any, Scores]]) -> list[Scores]:
    """All of them, even if one raises: what the others are asking is paid for."""
    found = await asyncio.gather(*work, return_exceptions=True)
    failed = [one for one in found if isinstance(one, BaseException)]
    for one in sorted(failed, key=lambda error: not isinstance(error, (ModelUnusable, BudgetSpent))):
        raise one
    return [one for one in found if not isinstance(one, BaseException)]


class _Work:
    """One objective over a run. `todo`: the part of the run that has to be scored now, None where all is stored."""

    def __init__(self, objective: Objective, run: Run, tools: ScoringResources, values: Values) -> None:
        self.objective, self._values, self._questions = objective, values, len(run.questions)
        self._answered = [row for row, why in enumerate(run.responses.usage.failed) if not why]
        answered = run if len(self._answered) == self._questions else run.only(self._answered)
        self._keys: list[bytes] = []
        self._known: dict[bytes, bytes] = {}
        self._missing = list(range(len(answered.questions)))
        self.todo: Run | None = answered
        if objective.stored and answered.questions:
            self._look_up(answered, tools)

    def _look_up(self, run: Run, tools: ScoringResources) -> None:
        namespace = _identity(self.objective, run, tools)
        self._keys = [item_key(namespace, row) for row in run.row_digests]
        self._known = self._values.get(_SHELF, self._keys)
        self._missing = [row for row, key in enumerate(self._keys) if key not in self._known]
        self._values.reused[_SHELF] = self._values.reused.get(_SHELF, 0) + len(self._keys) - len(self._missing)
        self.todo = run.only(self._missing) if self._missing else None

    def done(self, columns: Scores | None) -> Scores:
        """Every row's scores: those that were stored, and the columns of `todo`, which are stored now."""
        if not self._keys:
            return {name: self._spread(column) for name, column in (columns or {}).items()}
        rows = {row: orjson.loads(self._known[key]) for row, key in enumerate(self._keys) if key in self._known}
        plain = {name: _plain(column) for name, column in (columns or {}).items()}
        made = {row: {name: column[i] for name, column in plain.items()} for i, row in enumerate(self._missing)}
        final = {row: one for row, one in made.items() if not any(one[name] for name in one if _is_failure(name))}
        self._values.put(_SHELF, {self._keys[row]: orjson.dumps(one) for row, one in final.items()})
        self._values.computed[_SHELF] = self._values.computed.get(_SHELF, 0) + len(made)
        rows |= made
        found = [rows[row] for row in range(len(self._keys))]
        names = list(dict.fromkeys(name for row in found for name in row))
        whole = {name: [np.nan if row.get(name) is None else row[name] for row in found] for name in names}
        return {name: self._spread(np.array(column, float)) for name, column in whole.items()}

    def _spread(self, column: FloatArray) -> FloatArray:
        """NaN for questions that were not answered."""
        if len(self._answered) == self._questions:
            return column
        spread = np.full(self._questions, np.nan)
        spread[self._answered] = column
        return spread


def _identity(objective: Objective, run: Run, tools: ScoringResources) -> str:
    """Of all that determines an objective's scores beside the row."""
    module = type(objective).__module__
    facts: list[Any] = [
        objective.kind,
        config.dump(objective),
        source_digest(module),
        versions(*objective.libraries),
    ]
    facts += [source_digest("rag_opt.metrics.evidence"), run.corpus.digest, run.chunks.digest]
    model = getattr(objective, "similarity_model", None)
    facts.append(tools.encoder(model).vectors_key if model is not None else None)
    if "judge" in objective.requires and tools.judge is not None:
        facts += [tools.judge.as_judge.judging, run.corpus.language]
    return digest(facts)


def _is_failure(metric: str) -> bool:
    return metric.endswith("_failures")


def _plain(column: FloatArray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in column]


def aggregate(objective: Objective, scores: Scores) -> dict[str, float]:
    """One number per metric and aggregate, over the questions it applies to; nothing where it applies to none."""
    numbers = {}
    for name, column in scores.items():
        known = column[~np.isnan(column)]
        if not len(known):
            continue
        for how in objective.aggregates.get(name, ("mean",)):
            numbers[name if how in ("mean", "sum") else f"{name}_{how}"] = _AGGREGATES[how](known)
    return numbers


_AGGREGATES: dict[str, Callable[[FloatArray], float]] = {
    "mean": lambda known: float(known.mean()),
    "sum": lambda known: float(known.sum()),
    "p50": lambda known: float(np.percentile(known, 50)),
    "p95": lambda known: float(np.percentile(known, 95)),
}
