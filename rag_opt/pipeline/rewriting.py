"""What is searched for: the question as it was asked, or what a query part makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rag_opt.fetching import Fetch
from rag_opt.parts.embedders.encoder import Encoder
from rag_opt.parts.models.chat import Chat
from rag_opt.pipeline.searching import Searcher, Timed, Vectors, query_facts
from rag_opt.records import Question

Search = Callable[[str, Fetch], Timed]


class Rewriting:
    """The query part of one pipeline. `chat`: the language model, for a part that needs one."""

    def __init__(self, part: Any, searcher: Searcher, encoder: Encoder, chat: Chat | None) -> None:
        self._part, self._searcher, self._encoder, self._chat = part, searcher, encoder, chat

    def search(self, questions: Sequence[Question], vectors: Vectors) -> Search:
        """What fetches each list for these questions. A language model is asked once for all lists."""
        part, searcher = self._part, self._searcher
        if "reworded" in part.needs:
            return self._reworded(questions)
        if "written_vectors" in part.needs:
            return self._written(questions, vectors)

        def plain(name: str, fetch: Fetch) -> Timed:
            if "feedback" in part.needs and name == "dense":
                return searcher.fed_back(name, fetch, questions, vectors, part)
            return searcher.plain(name, fetch, questions, vectors)

        return plain

    def _replies(self, questions: Sequence[Question]) -> list[list[str]]:
        assert self._chat is not None
        requests = [self._part.requests(question.text) for question in questions]
        replies = iter(self._chat.complete([one for some in requests for one in some]))
        return [[next(replies) for _ in some] for some in requests]

    def _reworded(self, questions: Sequence[Question]) -> Search:
        found: list[list[Question]] = []
        for question, (reply,) in zip(questions, self._replies(questions), strict=True):
            texts = self._part.read(question.text, reply)
            found.append([dataclasses.replace(question, text=text) for text in texts])
        vectors = [self._encoder.vectors([one.text for one in some], "query") for some in found]
        return lambda name, fetch: self._searcher.fused(name, fetch, found, vectors)

    def _written(self, questions: Sequence[Question], vectors: Vectors) -> Search:
        part, written = self._part, self._replies(questions)
        flat = iter(self._encoder.vectors([text for texts in written for text in texts], "sentence"))
        passages = [np.stack([next(flat) for _ in texts]) for texts in written]
        refined = np.stack([part.refine(vector, some) for vector, some in zip(vectors, passages, strict=True)])
        facts = [[*query_facts(part), texts] for texts in written]

        def search(name: str, fetch: Fetch) -> Timed:
            if name != "dense":
                return self._searcher.plain(name, fetch, questions, vectors)
            return self._searcher.written(name, fetch, questions, refined, facts)

        return search
