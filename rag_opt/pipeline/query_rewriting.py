"""Query rewriting: the question as it was asked, or what a query part makes of it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from rag_opt.core.arrays import FloatArray, Vectors
from rag_opt.core.questions import Question
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.client import LLMClient
from rag_opt.parts.index_queries import IndexQuery
from rag_opt.parts.interfaces import FeedbackQuery, Query, RewordingQuery, WrittenQuery
from rag_opt.pipeline.model_usage import ModelUsage
from rag_opt.pipeline.retrieval import Retrieval, Timed, query_facts
from rag_opt.pipeline.stage_timer import StageTimer

Search = Callable[[str, IndexQuery], Timed]


class QueryRewriting:
    """The query part of one pipeline. `llm_client`: the language model, for a part that asks one."""

    def __init__(
        self,
        part: Query,
        retrieval: Retrieval,
        encoder: Encoder,
        llm_client: LLMClient | None,
        stage_timer: StageTimer,
    ) -> None:
        self._part, self._retrieval, self._encoder, self._llm_client = part, retrieval, encoder, llm_client
        self._stage_timer = stage_timer

    def search(self, questions: Sequence[Question], vectors: Vectors, usage: ModelUsage) -> tuple[Search, FloatArray]:
        """Return what fetches each list for these questions, and the milliseconds that rewriting each took.

        A language model is asked once for all lists.
        """
        part, retrieval = self._part, self._retrieval
        if isinstance(part, RewordingQuery):
            return self._by_rewordings(part, questions, usage)
        if isinstance(part, WrittenQuery):
            return self._by_passages(part, questions, vectors, usage)

        def search(name: str, query: IndexQuery) -> Timed:
            if isinstance(part, FeedbackQuery) and name == "dense":
                return retrieval.search_with_feedback(name, query, questions, vectors, part)
            return retrieval.search(name, query, questions, vectors)

        return search, np.zeros(len(questions))

    def _ask(
        self, part: RewordingQuery | WrittenQuery, questions: Sequence[Question], usage: ModelUsage
    ) -> tuple[list[list[str]], FloatArray]:
        """Return what was written for each question (nothing for a request that failed), and the milliseconds."""
        assert self._llm_client is not None
        requests = [(row, request) for row, q in enumerate(questions) for request in part.requests(q.text)]
        rows = [row for row, _ in requests]
        with self._stage_timer.timed(f"rewrite {part.kind}", len(questions)):
            replies = usage.complete(self._llm_client, [request for _, request in requests], rows)
        texts: list[list[str]] = [[] for _ in questions]
        took_ms = np.zeros(len(questions))
        for row, reply in zip(rows, replies, strict=True):
            if reply is not None:
                texts[row].append(reply.text)
                took_ms[row] += reply.took_ms
        return texts, took_ms

    def _by_rewordings(
        self, part: RewordingQuery, questions: Sequence[Question], usage: ModelUsage
    ) -> tuple[Search, FloatArray]:
        replies, took_ms = self._ask(part, questions, usage)
        reworded: list[list[Question]] = []
        for question, written in zip(questions, replies, strict=True):
            texts = part.read_rewordings(question.text, "\n".join(written))
            reworded.append([dataclasses.replace(question, text=text) for text in texts])
        vectors = self._encoder.vectors([one.text for some in reworded for one in some], "query")
        return lambda name, query: self._retrieval.search_rewordings(name, query, reworded, vectors), took_ms

    def _by_passages(
        self, part: WrittenQuery, questions: Sequence[Question], vectors: Vectors, usage: ModelUsage
    ) -> tuple[Search, FloatArray]:
        written, took_ms = self._ask(part, questions, usage)
        flat, embed_ms = self._encoder.timed_vectors([text for texts in written for text in texts], "sentence")
        edges = np.cumsum([0, *map(len, written)])
        spans = list(itertools.pairwise(edges.tolist()))
        refined = np.stack([part.refine_by_passages(v, flat[a:b]) for v, (a, b) in zip(vectors, spans, strict=True)])
        took_ms = took_ms + np.array([embed_ms[a:b].sum() for a, b in spans])
        facts = [[*query_facts(part), texts] for texts in written]

        def search(name: str, query: IndexQuery) -> Timed:
            if name != "dense":
                return self._retrieval.search(name, query, questions, vectors)
            return self._retrieval.search_vectors(name, query, questions, refined, facts)

        return search, took_ms
