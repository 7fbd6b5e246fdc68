"""Query rewriting: the question as it was asked, or what a query part makes of it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from rag_opt.core.arrays import FloatArray, Vectors
from rag_opt.core.questions import Question
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.client import LLMClient
from rag_opt.parts.index_queries import IndexQuery
from rag_opt.parts.interfaces import FeedbackQuery, Query, RewordingQuery, RoutingQuery, WrittenQuery
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
        if isinstance(part, RoutingQuery):
            return self._by_routes(part, questions, vectors, usage)

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
        for row, (question, written) in enumerate(zip(questions, replies, strict=True)):
            reply = "\n".join(written)
            texts = part.read_rewordings(question.text, reply)
            if written and not part.is_answered_by(question.text, reply):
                usage.count_unused(row, f"query {part.kind}: nothing in the reply can be searched for")
            reworded.append([dataclasses.replace(question, text=text) for text in texts])
        vectors = self._encoder.vectors([one.text for some in reworded for one in some], "query")
        return lambda name, query: self._retrieval.search_rewordings(name, query, reworded, vectors), took_ms

    def _by_routes(
        self, part: RoutingQuery, questions: Sequence[Question], vectors: Vectors, usage: ModelUsage
    ) -> tuple[Search, FloatArray]:
        """Search the lists that are named for each question; a list that is not is empty, and took no time."""
        assert self._llm_client is not None
        with self._stage_timer.timed(f"rewrite {part.kind}", len(questions)):
            requests = [part.request(question.text) for question in questions]
            replies = usage.complete(self._llm_client, requests, range(len(questions)))
        routes, took_ms = list[frozenset[str]](), np.zeros(len(questions))
        for row, reply in enumerate(replies):
            route = part.read_route(reply.text) if reply is not None else frozenset[str]()
            if reply is not None:
                took_ms[row] = reply.took_ms
                if not route:
                    usage.count_unused(row, f"query {part.kind}: the reply names no list, so all are searched")
            routes.append(route)

        def search(name: str, query: IndexQuery) -> Timed:
            rows = [row for row, route in enumerate(routes) if not route or name in route]
            lists = RankedLists.stack([(np.zeros(0, np.int32), np.zeros(0, np.float32))] * len(questions), query.depth)
            times_ms = np.zeros(len(questions))
            if rows:
                some = [questions[row] for row in rows]
                found, times_ms[rows] = self._retrieval.search(name, query, some, vectors[rows])
                lists.chunks[rows], lists.scores[rows] = found.chunks, found.scores
            return lists, times_ms

        return search, took_ms

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
