"""Scores of objectives over a run; the score of each question goes through the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence

import numpy as np
import orjson

from rag_opt.core import strict
from rag_opt.core.arrays import FloatArray
from rag_opt.core.digests import digest, item_key, versions
from rag_opt.core.errors import BudgetSpent, ModelUnusable
from rag_opt.core.questions import Question
from rag_opt.core.source_digest import source_digest
from rag_opt.evaluation.interfaces import Aggregate, AsyncObjective, ComparesAnswers, Objective
from rag_opt.evaluation.requirements import can_feed
from rag_opt.evaluation.run import Run, Scores, ScoringResources
from rag_opt.models.event_loop import wait_for
from rag_opt.store.values import Values

_TABLE = "scores"
_FAILURES = "_failures"  # how the name of a metric that counts failures ends


def score(objective: Objective, run: Run, resources: ScoringResources, values: Values) -> Scores:
    """Return the scores of a run; NaN for questions that a language model did not answer."""
    (scores,) = score_all([objective], run, resources, values)
    return scores


def score_all(objectives: Sequence[Objective], run: Run, resources: ScoringResources, values: Values) -> list[Scores]:
    """Return the scores of each objective over one run. Those that wait for a judge ask it at the same time."""
    pending = [_PendingScores(objective, run, resources, values) for objective in objectives]
    waiting = [
        (position, objective.ascore(part.unscored, resources))
        for position, (objective, part) in enumerate(zip(objectives, pending, strict=True))
        if part.unscored is not None and isinstance(objective, AsyncObjective)
    ]
    scores: dict[int, Scores] = {}
    if waiting:
        positions, coroutines = zip(*waiting, strict=True)
        for position, columns in zip(positions, wait_for(_gather(coroutines)), strict=True):
            scores[position] = pending[position].complete(columns)  # stored before anything else can fail
    for position, (objective, part) in enumerate(zip(objectives, pending, strict=True)):
        if position not in scores:
            computed = objective.score(part.unscored, resources) if part.unscored is not None else {}
            scores[position] = part.complete(computed)
    return [scores[position] for position in range(len(objectives))]


async def _gather(coroutines: Sequence[Coroutine[None, None, Scores]]) -> list[Scores]:
    """Return the result of every coroutine. All are awaited even if one raises: what the others ask is paid for."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in sorted(errors, key=lambda error: not isinstance(error, (ModelUnusable, BudgetSpent))):
        raise error
    return [result for result in results if not isinstance(result, BaseException)]


class _PendingScores:
    """Scores of one objective over a run, of which some may be stored.

    `unscored`: the part of the run that has to be scored now; None where everything is stored.
    """

    def __init__(self, objective: Objective, run: Run, resources: ScoringResources, values: Values) -> None:
        self._values, self._questions = values, len(run.questions)
        self._answered = [row for row, failure in enumerate(run.responses.usage.failed) if not failure]
        answered = run if len(self._answered) == self._questions else run.select(self._answered)
        self._keys: list[bytes] = []
        self._stored: dict[bytes, bytes] = {}
        self._missing = list(range(len(answered.questions)))
        self.unscored: Run | None = answered
        if objective.stored and answered.questions:
            self._look_up(objective, answered, resources)

    def _look_up(self, objective: Objective, answered: Run, resources: ScoringResources) -> None:
        namespace = _identity(objective, answered, resources)
        self._keys = [item_key(namespace, row) for row in answered.row_digests]
        self._stored = self._values.get(_TABLE, self._keys)
        self._missing = [row for row, key in enumerate(self._keys) if key not in self._stored]
        self._values.count_reused(_TABLE, len(self._keys) - len(self._missing))
        self.unscored = answered.select(self._missing) if self._missing else None

    def complete(self, columns: Scores) -> Scores:
        """Store the scores of `unscored`, and return those of every question. Failed scores are not stored."""
        if not self._keys:
            return {name: self._spread(column) for name, column in columns.items()}
        by_row = {row: orjson.loads(self._stored[key]) for row, key in enumerate(self._keys) if key in self._stored}
        plain = {name: _to_plain(column) for name, column in columns.items()}
        new = {row: {name: column[i] for name, column in plain.items()} for i, row in enumerate(self._missing)}
        final = {self._keys[row]: orjson.dumps(scores) for row, scores in new.items() if not _has_failed(scores)}
        self._values.put(_TABLE, final)
        self._values.count_computed(_TABLE, len(new))
        by_row |= new
        rows = [by_row[row] for row in range(len(self._keys))]
        names = list(dict.fromkeys(name for scores in rows for name in scores))
        whole = {name: [np.nan if scores.get(name) is None else scores[name] for scores in rows] for name in names}
        return {name: self._spread(np.array(column, float)) for name, column in whole.items()}

    def _spread(self, column: FloatArray) -> FloatArray:
        """Return the column with NaN for the questions that were not answered."""
        if len(self._answered) == self._questions:
            return column
        spread = np.full(self._questions, np.nan)
        spread[self._answered] = column
        return spread


def _identity(objective: Objective, run: Run, resources: ScoringResources) -> str:
    """Return a hash of all that determines an objective's scores beside the row."""
    judge = resources.judge if "judge" in objective.requires else None
    return digest(
        [
            objective.kind,
            strict.dump(objective),
            source_digest(type(objective).__module__),
            versions(*objective.libraries),
            source_digest("rag_opt.metrics.evidence"),
            run.corpus.digest,
            run.chunks.digest,
            resources.encoder(objective.similarity_model).vectors_key
            if isinstance(objective, ComparesAnswers)
            else None,
            *([judge.as_judge.judging, run.corpus.language] if judge is not None else []),
        ]
    )


def _has_failed(scores: dict[str, float | None]) -> bool:
    return any(value for name, value in scores.items() if name.endswith(_FAILURES))


def _to_plain(column: FloatArray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in column]


def keep_fed(objective: Objective, columns: Scores, questions: Sequence[Question]) -> Scores:
    """Return the scores of the questions that have what the objective requires of them; NaN for the others."""
    fed = np.array([can_feed(question, objective.requires) for question in questions], bool)
    return columns if fed.all() else {name: np.where(fed, column, np.nan) for name, column in columns.items()}


def aggregate(objective: Objective, scores: Scores) -> dict[str, float]:
    """Return one number per metric and aggregate, over the questions it applies to; none where it applies to none."""
    numbers = {}
    for name, column in scores.items():
        known = column[~np.isnan(column)]
        if not len(known):
            continue
        default: Aggregate = "sum" if name.endswith(_FAILURES) else "mean"
        for aggregate_name in objective.aggregates.get(name, (default,)):
            key = name if aggregate_name in _UNNAMED else f"{name}_{aggregate_name}"
            numbers[key] = _AGGREGATES[aggregate_name](known)
    return numbers


_UNNAMED: tuple[Aggregate, ...] = ("mean", "sum")  # the metric's own name says which
_AGGREGATES: dict[Aggregate, Callable[[FloatArray], float]] = {
    "mean": lambda known: float(known.mean()),
    "sum": lambda known: float(known.sum()),
    "p50": lambda known: float(np.percentile(known, 50)),
    "p95": lambda known: float(np.percentile(known, 95)),
}
