"""A bundle, open: an exported pipeline that answers without hydra, optuna, mlflow or ragas."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING

from rag_opt.core.documents import Answer, Span
from rag_opt.core.errors import BadInput, Problem, ServerFailed, suggest_names
from rag_opt.core.filters import fit, is_scalar, read_conditions
from rag_opt.core.questions import Question
from rag_opt.core.strict import PlainDict, PlainMapping
from rag_opt.pipeline.ask import Pipeline, Responses, Retrieved
from rag_opt.production.manifest import Manifest, find_missing_filters
from rag_opt.production.passages import Passage, Reply
from rag_opt.production.sentence_vectors import ShippedValues
from rag_opt.production.stored_questions import StoredQuestion
from rag_opt.production.vector_stores.collection_index import CollectionIndex
from rag_opt.store.values import MemoryValues

if TYPE_CHECKING:
    from rag_opt.production.adapters import haystack_component, langchain_retriever, llama_index_retriever


class Bundle:
    """An exported pipeline, open. The embedding model is loaded with the first question.

    `questions`: those of its study, with what the search saw. Threads may share a bundle.
    """

    def __init__(self, pipeline: Pipeline, manifest: Manifest, questions: Sequence[StoredQuestion] = ()) -> None:
        self.pipeline = pipeline
        self.spec = pipeline.spec
        self.manifest = manifest
        self.questions = tuple(questions)
        self.collection: CollectionIndex | None = None  # searched instead of the bundle's own vectors

    def ask(self, question: str, *, filters: PlainMapping | None = None) -> Reply:
        """Return the answer to one question. `filters`: only documents whose metadata fit may be returned.

        A filter is a value that metadata equal, or a condition (`core/filters.py`): `{"in": [values]}`, a range by
        `gt`, `gte`, `lt`, `lte`, `{"absent": True}`. Raises ServerFailed where a language model that it needs does not
        answer, BadInput for a filter that no document has, or without one that the bundle requires.
        """
        return self.ask_many([question], filters=filters)[0]

    def ask_many(self, questions: Sequence[str], *, filters: PlainMapping | None = None) -> list[Reply]:
        """Return the answers to several questions, in their order; as `ask`."""
        self.check_filters(filters or {})
        return self.ask_questions([Question(id="", text=text, filters=filters or {}) for text in questions])

    def ask_questions(self, asked: Sequence[Question]) -> list[Reply]:
        """Return the answers to questions with limits of their own, taken as they are; raises ServerFailed as `ask`."""
        replies, failed = self.try_questions(asked)
        for reason in filter(None, failed):
            raise ServerFailed(reason)
        return replies

    def try_questions(self, asked: Sequence[Question]) -> tuple[list[Reply], list[str]]:
        """Return the answers, and for each question why a model that it needs did not answer; empty: it did.

        Filters are taken as they are (`check_filters`).
        """
        responses = self.pipeline.ask(asked)
        return self._replies(asked, responses), list(responses.usage.failed)

    def retrieve(self, question: str, *, filters: PlainMapping | None = None) -> tuple[Passage, ...]:
        """Return the passages of the context of one question, best first; nothing is answered. Raises as `ask`."""
        self.check_filters(filters or {})
        replies, failed = self.try_retrieval([Question(id="", text=question, filters=filters or {})])
        for reason in filter(None, failed):
            raise ServerFailed(reason)
        return replies[0].hits

    def try_retrieval(self, asked: Sequence[Question]) -> tuple[list[Reply], list[str]]:
        """Return replies with an empty answer, and for each question why a model did not answer; as `try_questions`."""
        found = self.pipeline.retrieve(asked)
        return self._replies(asked, found), list(found.usage.failed)

    async def aask(self, question: str, *, filters: PlainMapping | None = None) -> Reply:
        """Return the answer to one question, as `ask`, without holding up the event loop that awaits it."""
        return await asyncio.to_thread(self.ask, question, filters=filters)

    async def aask_many(self, questions: Sequence[str], *, filters: PlainMapping | None = None) -> list[Reply]:
        """Return the answers to several questions, as `ask_many`, without holding up the event loop."""
        return await asyncio.to_thread(self.ask_many, questions, filters=filters)

    def stream(self, question: str, *, filters: PlainMapping | None = None) -> Iterator[str | Reply]:
        """Yield the answer to one question in pieces as a language model says them, then the whole reply.

        The pieces are what the model writes; whether that is a refusal, and what it cites, the reply says. A pipeline
        without a language model yields its answer in one piece. Raises as `ask`.
        """
        self.check_filters(filters or {})
        asked, said = Question(id="", text=question, filters=filters or {}), False
        for piece in self.pipeline.stream(asked):
            if isinstance(piece, str):
                said = True
                yield piece
                continue
            for reason in filter(None, piece.usage.failed):
                raise ServerFailed(reason)
            (reply,) = self._replies([asked], piece)
            if reply.answer and not said:
                yield reply.answer
            yield reply

    async def astream(self, question: str, *, filters: PlainMapping | None = None) -> AsyncIterator[str | Reply]:
        """Yield as `stream`, without holding up the event loop."""
        pieces = self.stream(question, filters=filters)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece

    def describe_passage(self, passage: Passage) -> PlainDict:
        """Return the metadata of a passage for other frameworks: its document's, then where it stands and its score."""
        metadata = self.pipeline.corpus.metadata[self.pipeline.corpus.position[passage.document]]
        place = {"document": passage.document, "start": passage.start, "end": passage.end, "score": passage.score}
        where = {"page": passage.page, "headings": " > ".join(passage.headings), "header": passage.header}
        return {**metadata, **place, **{name: value for name, value in where.items() if value not in (None, "")}}

    def as_langchain_retriever(self, *, filters: PlainMapping | None = None) -> langchain_retriever.BundleRetriever:
        """Return a retriever for LangChain (`pip install "rag-opt-search[langchain]"`)."""
        from rag_opt.production.adapters.langchain_retriever import BundleRetriever

        return BundleRetriever(bundle=self, filters=dict(filters or {}))

    def as_llama_index_retriever(self, *, filters: PlainMapping | None = None) -> llama_index_retriever.BundleRetriever:
        """Return a retriever for LlamaIndex (`pip install "rag-opt-search[llama-index]"`)."""
        from rag_opt.production.adapters.llama_index_retriever import BundleRetriever

        return BundleRetriever(self, filters or {})

    def as_haystack_component(self, *, filters: PlainMapping | None = None) -> haystack_component.BundleComponent:
        """Return a component for Haystack's pipelines (`pip install "rag-opt-search[haystack]"`)."""
        from rag_opt.production.adapters.haystack_component import BundleComponent

        return BundleComponent(self, dict(filters or {}))

    @functools.cached_property
    def filter_names(self) -> frozenset[str]:
        """Names that a filter may have: those of the documents' metadata."""
        return frozenset(name for metadata in self.pipeline.corpus.metadata for name in metadata)

    def check_filters(self, filters: PlainMapping) -> None:
        """Raise BadInput for a filter that is none or that no document has, and without one that the bundle requires.

        A required filter is one value: by a range or a list a caller would see what belongs to others. A condition that
        the collection's store cannot ask for is refused too.
        """
        conditions = read_conditions(filters)
        problems = [
            Problem(f"filters.{name}", f"no document has {name!r}{suggest_names(name, sorted(self.filter_names))}")
            for name in filters
            if name not in self.filter_names
        ]
        missing = find_missing_filters(self.manifest, list(filters))
        problems += [Problem(f"filters.{name}", "is missing: every question needs it") for name in missing]
        problems += [
            Problem(f"filters.{name}", f"is {filters[name]!r}: every question needs it as one value")
            for name in self.manifest.requires_filter
            if name in filters and not is_scalar(filters[name])
        ]
        if self.collection is not None:
            refused = self.collection.refusals(conditions)
            problems += [Problem(f"filters.{name}", reason) for name, reason in refused.items()]
        if problems:
            raise BadInput(problems)

    def fits(self, document: str, filters: PlainMapping) -> bool:
        """Return whether a document may be returned for these filters."""
        metadata = self.pipeline.corpus.metadata[self.pipeline.corpus.position[document]]
        return fit(metadata, read_conditions(filters))

    @property
    def cache_bytes(self) -> int:
        """Bytes of what is remembered of earlier questions."""
        values = self.pipeline.values
        return values.held_bytes if isinstance(values, MemoryValues | ShippedValues) else 0

    def _replies(self, asked: Sequence[Question], found: Responses | Retrieved) -> list[Reply]:
        documents, hits, texts = self.pipeline.corpus.documents, found.hits, self.pipeline.texts
        answers = found.answers if isinstance(found, Responses) else [Answer("", refused=False)] * len(asked)
        replies = []
        for row, question in enumerate(asked):
            kept = hits.document[row] >= 0
            columns = (hits.document, hits.start, hits.end, found.scores)
            passages = []
            for number, start, end, score in zip(*(column[row][kept].tolist() for column in columns), strict=True):
                span = Span(documents[number].id, start, end)
                where, header = texts.citation(span), texts.header(span)
                passages.append(
                    Passage(where.document, start, end, texts.of(span), score, where.page, where.headings, header)
                )
            latency_ms = {stage: float(times[row]) for stage, times in found.latency_ms.items()}
            answer, tokens = answers[row], int(found.context_tokens[row])
            replies.append(
                Reply(question.text, answer.text, answer.refused, tuple(passages), answer.cited, tokens, latency_ms)
            )
        return replies
