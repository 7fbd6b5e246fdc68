"""A `Run`: a pipeline asked a list of questions, and the scores of objectives over it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from rag_opt.core.arrays import FloatArray
from rag_opt.core.digests import digest
from rag_opt.core.documents import Corpus
from rag_opt.core.questions import Question, question_digest
from rag_opt.metrics.evidence import RetrievedSpans
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.client import LLMClient
from rag_opt.pipeline.ask import Pipeline, Responses
from rag_opt.pipeline.chunk_table import ChunkTable
from rag_opt.pipeline.corpus_text import CorpusText

Scores = dict[str, FloatArray]


@dataclass(frozen=True)
class Run:
    """Row i of everything belongs to question i."""

    questions: tuple[Question, ...]
    responses: Responses
    texts: CorpusText
    chunks: ChunkTable

    @property
    def corpus(self) -> Corpus:
        return self.texts.corpus

    def only(self, rows: Sequence[int]) -> Run:
        """The run of some of its questions."""
        r = self.responses
        part = Responses(
            hits=RetrievedSpans(r.hits.document[rows], r.hits.start[rows], r.hits.end[rows]),
            scores=r.scores[rows],
            contexts=[r.contexts[i] for i in rows],
            context_tokens=r.context_tokens[rows],
            answers=[r.answers[i] for i in rows],
            latency_ms={stage: times[rows] for stage, times in r.latency_ms.items()},
            usage=r.usage.only(rows),
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
class ScoringResources:
    """What an objective is handed beyond the run: encoders behind the store, by the name of their card, and the
    language model that judges, where there is one.
    """

    encoder: Callable[[str], Encoder]
    judge: LLMClient | None = None


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
    requires: ClassVar[frozenset[str]]
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]]
    stored: ClassVar[bool]
    libraries: ClassVar[tuple[str, ...]]

    def score(self, run: Run, tools: ScoringResources) -> Scores: ...


def ask(pipeline: Pipeline, questions: Sequence[Question]) -> Run:
    return Run(tuple(questions), pipeline.ask(questions), pipeline.texts, pipeline.chunks)
