"""What is searched for: the question as it was asked, or what a query part makes of it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.questions import Question
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.client import LLMClient
from rag_opt.parts.index_queries import IndexQuery
from rag_opt.pipeline.model_usage import ModelUsage
from rag_opt.pipeline.retrieval import Retrieval, Timed, Vectors, query_facts
from rag_opt.pipeline.stage_timer import StageTimer

Search = Callable[[str, IndexQuery], Timed]


class Rewriting:
    """The query part of one pipeline. `chat`: the language model, for a part that needs one."""

    def __init__(
        self, part: Any, searcher: Retrieval, encoder: Encoder, llm_client: LLMClient | None, stage_timer: StageTimer
    ) -> None:
        self._part, self._searcher, self._encoder, self._llm_client = part, searcher, encoder, llm_client
        self._stage_timer = stage_timer

    def search(self, questions: Sequence[Question], vectors: Vectors, usage: ModelUsage) -> tuple[Search, FloatArray]:
        """What fetches each list for these questions, and the milliseconds that writing took for each of them.

        A language model is asked once for all lists.
        """
        part, searcher = self._part, self._searcher
        if "reworded" in part.requires:
            return self._reworded(questions, usage)
        if "written_vectors" in part.requires:
            return self._written(questions, vectors, usage)

        def plain(name: str, index_query: IndexQuery) -> Timed:
            if "feedback" in part.requires and name == "dense":
                return searcher.fed_back(name, index_query, questions, vectors, part)
            return searcher.plain(name, index_query, questions, vectors)

        return plain, np.zeros(len(questions))

    def _replies(self, questions: Sequence[Question], usage: ModelUsage) -> tuple[list[list[str]], FloatArray]:
        """What was written for each question; nothing for a request that failed."""
        assert self._llm_client is not None
        requests = [(row, one) for row, q in enumerate(questions) for one in self._part.requests(q.text)]
        rows = [row for row, _ in requests]
        with self._stage_timer.timed(f"rewrite {self._part.kind}", len(questions)):
            replies = usage.replies(self._llm_client, [one for _, one in requests], rows)
        texts: list[list[str]] = [[] for _ in questions]
        took_ms = np.zeros(len(questions))
        for row, reply in zip(rows, replies, strict=True):
            if reply is not None:
                texts[row].append(reply.text)
                took_ms[row] += reply.took_ms
        return texts, took_ms

    def _reworded(self, questions: Sequence[Question], usage: ModelUsage) -> tuple[Search, FloatArray]:
        replies, took_ms = self._replies(questions, usage)
        found: list[list[Question]] = []
        for question, written in zip(questions, replies, strict=True):
            texts = self._part.read(question.text, "\n".join(written))
            found.append([dataclasses.replace(question, text=text) for text in texts])
        vectors = self._encoder.vectors([one.text for some in found for one in some], "query")
        return lambda name, index_query: self._searcher.fused(name, index_query, found, vectors), took_ms

    def _written(self, questions: Sequence[Question], vectors: Vectors, usage: ModelUsage) -> tuple[Search, FloatArray]:
        part, (written, took_ms) = self._part, self._replies(questions, usage)
        flat, embed_ms = self._encoder.timed_vectors([text for texts in written for text in texts], "sentence")
        edges = np.cumsum([0, *map(len, written)])
        spans = list(itertools.pairwise(edges.tolist()))
        refined = np.stack([part.refine(v, flat[a:b]) for v, (a, b) in zip(vectors, spans, strict=True)])
        took_ms = took_ms + np.array([embed_ms[a:b].sum() for a, b in spans])
        facts = [[*query_facts(part), texts] for texts in written]

        def search(name: str, index_query: IndexQuery) -> Timed:
            if name != "dense":
                return self._searcher.plain(name, index_query, questions, vectors)
            return self._searcher.written(name, index_query, questions, refined, facts)

        return search, took_ms
