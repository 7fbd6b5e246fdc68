"""A bundle, open: an exported pipeline that answers without hydra, optuna, mlflow or ragas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag_opt.core.documents import Span
from rag_opt.core.errors import ServerFailed
from rag_opt.core.questions import Question
from rag_opt.core.strict import PlainMapping
from rag_opt.pipeline.ask import Pipeline


@dataclass(frozen=True)
class Passage:
    """A returned span with its text, and the retriever's score (higher is better).

    `page` (from 1; None without pages) and `headings` (highest first) say where in the document it stands. `header`:
    that of the table that it is a piece of, where it was read with it.
    """

    document: str
    start: int
    end: int
    text: str
    score: float
    page: int | None = None
    headings: tuple[str, ...] = ()
    header: str = ""


@dataclass(frozen=True)
class Reply:
    """The answer to one question, empty when it `refused`, with the `hits` of its context, best first."""

    question: str
    answer: str
    refused: bool
    hits: tuple[Passage, ...]
    cited: tuple[Span, ...]
    context_tokens: int


class Bundle:
    """An exported pipeline, open. The embedding model is loaded with the first question."""

    def __init__(self, pipeline: Pipeline, manifest: PlainMapping) -> None:
        self.pipeline = pipeline
        self.spec = pipeline.spec
        self.manifest = manifest

    def ask(self, question: str, *, filters: PlainMapping | None = None) -> Reply:
        """Return the answer to one question. `filters`: only documents whose metadata equal these may be returned.

        Raises ServerFailed where a language model that it needs does not answer.
        """
        return self.ask_many([question], filters=filters)[0]

    def ask_many(self, questions: Sequence[str], *, filters: PlainMapping | None = None) -> list[Reply]:
        """Return the answers to several questions, in their order; as `ask`."""
        return self.ask_questions([Question(id="", text=text, filters=filters or {}) for text in questions])

    def ask_questions(self, asked: Sequence[Question]) -> list[Reply]:
        """Return the answers to questions with limits of their own, in their order; as `ask`."""
        responses = self.pipeline.ask(asked)
        for reason in filter(None, responses.usage.failed):
            raise ServerFailed(reason)
        documents, hits, texts = self.pipeline.corpus.documents, responses.hits, self.pipeline.texts
        replies = []
        for row, question in enumerate(asked):
            kept = hits.document[row] >= 0
            columns = (hits.document, hits.start, hits.end, responses.scores)
            passages = []
            for number, start, end, score in zip(*(column[row][kept].tolist() for column in columns), strict=True):
                span = Span(documents[number].id, start, end)
                where, header = texts.citation(span), texts.header(span)
                passages.append(
                    Passage(where.document, start, end, texts.of(span), score, where.page, where.headings, header)
                )
            answer, tokens = responses.answers[row], int(responses.context_tokens[row])
            replies.append(Reply(question.text, answer.text, answer.refused, tuple(passages), answer.cited, tokens))
        return replies
