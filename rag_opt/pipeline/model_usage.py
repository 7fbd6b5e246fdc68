"""Calls, tokens and dollars of language models by question, and the questions that they did not answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from rag_opt.core.arrays import FloatArray, IntArray
from rag_opt.core.errors import ServerFailed
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import Completion, Request


class ModelUsage:
    """A row per question, as it was when each answer was first given: stored answers count like new ones.

    `failed`: why a question has no answer, empty where it has one. `cut`: answers that ended at the limit of tokens.
    `unused`: replies that a step could do nothing with, so that it changed nothing; `reasons` counts why.
    """

    def __init__(self, questions: int) -> None:
        self.calls: IntArray = np.zeros(questions, np.int64)
        self.input_tokens: IntArray = np.zeros(questions, np.int64)
        self.output_tokens: IntArray = np.zeros(questions, np.int64)
        self.cached_tokens: IntArray = np.zeros(questions, np.int64)
        self.usd: FloatArray = np.zeros(questions)
        self.cut: IntArray = np.zeros(questions, np.int64)
        self.unused: IntArray = np.zeros(questions, np.int64)
        self.reasons: Counter[str] = Counter()
        self.failed = [""] * questions

    def complete(
        self, llm_client: LLMClient, requests: Sequence[Request], rows: Sequence[int]
    ) -> list[Completion | None]:
        """Return the answers, None for one that failed; each is counted for the question of the row beside it."""
        replies: list[Completion | None] = []
        for row, reply in zip(rows, llm_client.answers(requests), strict=True):
            if isinstance(reply, ServerFailed):
                self.failed[row] = self.failed[row] or str(reply)
                replies.append(None)
                continue
            self.calls[row] += 1
            self.input_tokens[row] += reply.input_tokens
            self.output_tokens[row] += reply.output_tokens
            tokens, seconds = (reply.input_tokens, reply.output_tokens), reply.took_ms / 1000
            self.usd[row] += llm_client.settings.usd(*tokens, seconds, cached_tokens=reply.cached_tokens)
            self.cached_tokens[row] += reply.cached_tokens
            self.cut[row] += reply.finish == "length"
            replies.append(reply)
        return replies

    def count_unused(self, row: int, reason: str) -> None:
        """Note that a reply of a question was of no use: what a pipeline paid for did nothing there."""
        self.unused[row] += 1
        self.reasons[reason] += 1

    def only(self, rows: Sequence[int]) -> ModelUsage:
        """Return the usage of some of the questions."""
        part, at = ModelUsage(len(rows)), list(rows)
        part.calls, part.usd, part.cut = self.calls[at], self.usd[at], self.cut[at]
        part.cached_tokens = self.cached_tokens[at]
        part.unused, part.reasons = self.unused[at], self.reasons.copy()
        part.input_tokens, part.output_tokens = self.input_tokens[at], self.output_tokens[at]
        part.failed = [self.failed[row] for row in rows]
        return part
