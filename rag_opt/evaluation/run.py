"""A `Run`: a pipeline asked a list of questions, and the scores of objectives over it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import orjson

from rag_opt import config
from rag_opt.evidence import Hits
from rag_opt.parts.embedders.encoder import Encoder
from rag_opt.parts.models.chat import Chat
from rag_opt.pipeline import Pipeline, Responses
from rag_opt.pipeline.chunks import ChunkTable
from rag_opt.pipeline.texts import Texts
from rag_opt.records import Corpus, FloatArray, Question, question_digest
from rag_opt.registry import source_digest
from rag_opt.store.keys import digest, item_key, versions
from rag_opt.store.values import Values

Scores = dict[str, FloatArray]
_SHELF = "scores"


@dataclass(frozen=True)
class Run:
    """Row i of everything belongs to question i."""

    questions: tuple[Question, ...]
    responses: Responses
    texts: Texts
    chunks: ChunkTable

    @property
    def corpus(self) -> Corpus:
        return self.texts.corpus

    def only(self, rows: Sequence[int]) -> Run:
        """The run of some of its questions."""
        r = self.responses
        part = Responses(
            hits=Hits(r.hits.document[rows], r.hits.start[rows], r.hits.end[rows]),
            scores=r.scores[rows],
            contexts=[r.contexts[i] for i in rows],
            context_tokens=r.context_tokens[rows],
            answers=[r.answers[i] for i in rows],
            latency_ms={stage: times[rows] for stage, times in r.latency_ms.items()},
            asked=r.asked.only(rows),
        )
        return dataclasses.replace(self, questions=tuple(self.questions[i] for i in rows), responses=part)

    @functools.cached_property
    def row_digests(self) -> list[str]:
        """For each question the hash of it and of all that was returned for it, times left out."""
        r = self.responses
        documents = self.corpus.ids
        digests = []
        for i, question in enumerate(self.questions):
            kept = r.hits.document[i] >= 0
            hits = [
                [documents[d], s, e]
                for d, s, e in zip(
                    *(a[i][kept].tolist() for a in (r.hits.document, r.hits.start, r.hits.end)), strict=True
                )
            ]
            passages = [[s.document_id, s.start, s.end] for s in r.contexts[i]]
            answer = r.answers[i]
            said = [answer.text, answer.refused, [[s.document_id, s.start, s.end] for s in answer.cited]]
            scores = r.scores[i][kept].astype(float).tolist()
            digests.append(digest([question_digest(question), hits, scores, passages, int(r.context_tokens[i]), said]))
        return digests


@dataclass(frozen=True)
class Tools:
    """What an objective is handed beyond the run: encoders behind the store, by the name of their card, and the
    language model that judges, where there is one.
    """

    encoder: Callable[[str], Encoder]
    judge: Chat | None = None


class Objective(Protocol):
    """Scores a run. The first metric of `score` is the objective's value when it is optimised.

    A metric is one number per question, NaN where it does not apply or could not be found out; then a metric whose name
    ends in `_failures` is above 0, and that question's scores are not stored. A question that was not answered because
    a language model failed is not scored at all. `aggregates` names how a metric becomes
    one number, where that is not the mean. `stored` False: only read off the run, not worth storing.
    `needs`: what every question must have (see `evaluation.feeding`). `libraries`: whose versions matter. A
    setting called `similarity_model` names the card of a model whose vectors the scores depend on.
    """

    kind: ClassVar[str]
    direction: ClassVar[Literal["maximize", "minimize"]]
    needs: ClassVar[frozenset[str]]
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]]
    stored: ClassVar[bool]
    libraries: ClassVar[tuple[str, ...]]

    def score(self, run: Run, tools: Tools) -> Scores: ...


def ask(pipeline: Pipeline, questions: Sequence[Question]) -> Run:
    return Run(tuple(questions), pipeline.ask(questions), pipeline.texts, pipeline.chunks)


def score(objective: Objective, run: Run, tools: Tools, values: Values) -> Scores:
    """The scores of a run, each question's through the store; NaN for those that a language model did not answer."""
    answered = [row for row, why in enumerate(run.responses.asked.failed) if not why]
    if len(answered) == len(run.questions):
        return _scored(objective, run, tools, values)
    if not answered:
        return {name: np.full(len(run.questions), np.nan) for name in _scored(objective, run.only([]), tools, values)}
    return {
        name: _spread(column, answered, len(run.questions))
        for name, column in _scored(objective, run.only(answered), tools, values).items()
    }


def _spread(column: FloatArray, rows: Sequence[int], count: int) -> FloatArray:
    whole = np.full(count, np.nan)
    whole[list(rows)] = column
    return whole


def _scored(objective: Objective, run: Run, tools: Tools, values: Values) -> Scores:
    if not objective.stored or not run.questions:
        return objective.score(run, tools)
    module = type(objective).__module__
    facts: list[Any] = [
        objective.kind,
        config.dump(objective),
        source_digest(module),
        versions(*objective.libraries),
    ]
    facts += [source_digest("rag_opt.evidence"), run.corpus.digest, run.chunks.digest]
    model = getattr(objective, "similarity_model", None)
    facts.append(tools.encoder(model).vectors_key if model is not None else None)
    if "judge" in objective.needs and tools.judge is not None:
        facts.append(tools.judge.settings.judging)  # type: ignore[attr-defined]  # a judge's
    namespace = digest(facts)
    keys = [item_key(namespace, row) for row in run.row_digests]

    known = values.get(_SHELF, keys)
    missing = [row for row, key in enumerate(keys) if key not in known]
    values.reused[_SHELF] = values.reused.get(_SHELF, 0) + len(keys) - len(missing)
    found = {row: orjson.loads(known[key]) for row, key in enumerate(keys) if key in known}
    if missing:
        columns = {name: _plain(column) for name, column in objective.score(run.only(missing), tools).items()}
        made = {row: {name: column[i] for name, column in columns.items()} for i, row in enumerate(missing)}
        final = {row: one for row, one in made.items() if not any(one[name] for name in one if _is_failure(name))}
        values.put(_SHELF, {keys[row]: orjson.dumps(one) for row, one in final.items()})
        values.computed[_SHELF] = values.computed.get(_SHELF, 0) + len(missing)
        found |= made
    rows = [found[row] for row in range(len(keys))]
    return {name: np.array([np.nan if r[name] is None else r[name] for r in rows], float) for name in rows[0]}


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
