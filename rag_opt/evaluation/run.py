"""A `Run` (a pipeline asked a list of questions), and what objectives are handed to score it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag_opt.core.arrays import FloatArray
from rag_opt.core.digests import digest
from rag_opt.core.documents import Corpus
from rag_opt.core.questions import Question, question_digest
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.client import LLMClient
from rag_opt.pipeline.ask import Pipeline, Responses
from rag_opt.pipeline.chunk_table import ChunkTable
from rag_opt.pipeline.corpus_text import CorpusText

Scores = dict[str, FloatArray]  # metric -> a number per question


@dataclass(frozen=True)
class Run:
    """A pipeline asked some questions. Row i of everything belongs to question i."""

    questions: tuple[Question, ...]
    responses: Responses
    texts: CorpusText
    chunks: ChunkTable

    @property
    def corpus(self) -> Corpus:
        """Documents that the pipeline was asked about."""
        return self.texts.corpus

    def select(self, rows: Sequence[int]) -> Run:
        """Return the run of some of its questions."""
        r = self.responses
        responses = Responses(
            hits=r.hits.select(rows),
            ranked=r.ranked.select(rows),
            scores=r.scores[rows],
            contexts=[r.contexts[i] for i in rows],
            context_tokens=r.context_tokens[rows],
            answers=[r.answers[i] for i in rows],
            latency_ms={stage: times[rows] for stage, times in r.latency_ms.items()},
            usage=r.usage.only(rows),
            answered=r.answered,
        )
        return dataclasses.replace(self, questions=tuple(self.questions[i] for i in rows), responses=responses)

    @functools.cached_property
    def row_digests(self) -> list[str]:
        """Hash of each question and of everything that was returned for it but the times."""
        return [self._row_digest(row) for row in range(len(self.questions))]

    def _name(self, document: int) -> str | int:
        """Return the id of a document; of one that is not in the corpus, its number."""
        return self.corpus.ids[document] if document < len(self.corpus.ids) else document

    def _row_digest(self, row: int) -> str:
        r, answer = self.responses, self.responses.answers[row]
        returned = r.hits.document[row] >= 0
        columns = (column[row][returned].tolist() for column in (r.hits.document, r.hits.start, r.hits.end))
        return digest(
            [
                question_digest(self.questions[row]),
                [[self._name(document), start, end] for document, start, end in zip(*columns, strict=True)],
                r.scores[row][returned].astype(float).tolist(),
                [span.to_list() for span in r.contexts[row]],
                int(r.context_tokens[row]),
                [answer.text, answer.refused, [span.to_list() for span in answer.cited]],
            ]
        )


@dataclass(frozen=True)
class ScoringResources:
    """Everything that an objective is handed beside the run.

    `encoder`: returns the encoder behind the store by the name of its card. `judge`: the language model that judges,
    where there is one.
    """

    encoder: Callable[[str], Encoder]
    judge: LLMClient | None = None


def ask(pipeline: Pipeline, questions: Sequence[Question]) -> Run:
    """Ask the pipeline the questions, and return the run."""
    return Run(tuple(questions), pipeline.ask(questions), pipeline.texts, pipeline.chunks)
