"""What is searched for: the question as it was asked, or what a query part makes of it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rag_opt.fetching import Fetch
from rag_opt.parts.embedders.encoder import Encoder
from rag_opt.parts.models.chat import Chat
from rag_opt.pipeline.asked import Asked
from rag_opt.pipeline.planning import Ledger
from rag_opt.pipeline.searching import Searcher, Timed, Vectors, query_facts
from rag_opt.records import FloatArray, Question

Search = Callable[[str, Fetch], Timed]


class Rewriting:
    """The query part of one pipeline. `chat`: the language model, for a part that needs one."""

    def __init__(self, part: Any, searcher: Searcher, encoder: Encoder, chat: Chat | None, ledger: Ledger) -> None:
        self._part, self._searcher, self._encoder, self._chat = part, searcher, encoder, chat
        self._ledger = ledger

    def search(self, questions: Sequence[Question], vectors: Vectors, asked: Asked) -> tuple[Search, FloatArray]:
        """What fetches each list for these questions, and the milliseconds that writing took for each of them.

        A language model is asked once for all lists.
        """
        part, searcher = self._part, self._searcher
        if "reworded" in part.needs:
            return self._reworded(questions, asked)
        if "written_vectors" in part.needs:
            return self._written(questions, vectors, asked)

        def plain(name: str, fetch: Fetch) -> Timed:
            if "feedback" in part.needs and name == "dense":
                return searcher.fed_back(name, fetch, questions, vectors, part)
            return searcher.plain(name, fetch, questions, vectors)

        return plain, np.zeros(len(questions))

    def _replies(self, questions: Sequence[Question], asked: Asked) -> tuple[list[list[str]], FloatArray]:
        """What was written for each question; nothing for a request that failed."""
        assert self._chat is not None
        requests = [(row, one) for row, q in enumerate(questions) for one in self._part.requests(q.text)]
        rows = [row for row, _ in requests]
        with self._ledger.timed(f"rewrite {self._part.kind}", len(questions)):
            replies = asked.replies(self._chat, [one for _, one in requests], rows)
        texts: list[list[str]] = [[] for _ in questions]
        took_ms = np.zeros(len(questions))
        for row, reply in zip(rows, replies, strict=True):
            if reply is not None:
                texts[row].append(reply.text)
                took_ms[row] += reply.took_ms
        return texts, took_ms

    def _reworded(self, questions: Sequence[Question], asked: Asked) -> tuple[Search, FloatArray]:
        replies, took_ms = self._replies(questions, asked)
        found: list[list[Question]] = []
        for question, written in zip(questions, replies, strict=True):
            texts = self._part.read(question.text, "\n".join(written))
            found.append([dataclasses.replace(question, text=text) for text in texts])
        vectors = self._encoder.vectors([one.text for some in found for one in some], "query")
        return lambda name, fetch: self._searcher.fused(name, fetch, found, vectors), took_ms

    def _written(self, questions: Sequence[Question], vectors: Vectors, asked: Asked) -> tuple[Search, FloatArray]:
        part, (written, took_ms) = self._part, self._replies(questions, asked)
        flat, embed_ms = self._encoder.timed_vectors([text for texts in written for text in texts], "sentence")
        edges = np.cumsum([0, *map(len, written)])
        spans = list(itertools.pairwise(edges.tolist()))
        refined = np.stack([part.refine(v, flat[a:b]) for v, (a, b) in zip(vectors, spans, strict=True)])
        took_ms = took_ms + np.array([embed_ms[a:b].sum() for a, b in spans])
        facts = [[*query_facts(part), texts] for texts in written]

        def search(name: str, fetch: Fetch) -> Timed:
            if name != "dense":
                return self._searcher.plain(name, fetch, questions, vectors)
            return self._searcher.written(name, fetch, questions, refined, facts)

        return search, took_ms
