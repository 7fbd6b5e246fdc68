"""What language models were asked for each question of a run, and where they gave no answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag_opt.core.arrays import FloatArray, IntArray
from rag_opt.core.errors import ServerFailed
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import Completion, Request


class ModelUsage:
    """A row per question, as it was when each answer was first given: what is stored is counted like what is asked now.

    `failed`: why a question has no answer, empty where it has one. `cut`: answers that ended at the limit of tokens.
    """

    def __init__(self, questions: int) -> None:
        self.calls: IntArray = np.zeros(questions, np.int64)
        self.input_tokens: IntArray = np.zeros(questions, np.int64)
        self.output_tokens: IntArray = np.zeros(questions, np.int64)
        self.usd: FloatArray = np.zeros(questions)
        self.cut: IntArray = np.zeros(questions, np.int64)
        self.failed = [""] * questions

    def replies(
        self, llm_client: LLMClient, requests: Sequence[Request], rows: Sequence[int]
    ) -> list[Completion | None]:
        """The answers, booked on the question of the row beside each request; None for one that failed."""
        found: list[Completion | None] = []
        for row, reply in zip(rows, llm_client.answers(requests), strict=True):
            if isinstance(reply, ServerFailed):
                self.failed[row] = self.failed[row] or str(reply)
                found.append(None)
                continue
            self.calls[row] += 1
            self.input_tokens[row] += reply.input_tokens
            self.output_tokens[row] += reply.output_tokens
            self.usd[row] += llm_client.settings.usd(reply.input_tokens, reply.output_tokens, reply.took_ms / 1000)
            self.cut[row] += reply.finish == "length"
            found.append(reply)
        return found

    def only(self, rows: Sequence[int]) -> ModelUsage:
        """The same of some of the questions."""
        part = ModelUsage(len(rows))
        for name in ("calls", "input_tokens", "output_tokens", "usd", "cut"):
            setattr(part, name, getattr(self, name)[list(rows)])
        part.failed = [self.failed[row] for row in rows]
        return part
