"""A judge that goes wrong on purpose, in one way, at a share of its calls."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

from tests.scripted_judge import judged
from tests.servers import ChatModel, Reply

RETRY_AFTER_S = 0.2
# faults of the connection, as tests/servers.py knows them
CONNECTION: dict[str, Any] = {
    "429 with Retry-After": (429, {"error": {"message": "slow down"}}, {"Retry-After": str(RETRY_AFTER_S)}),
    "500": (500, {"error": {"message": "broken"}}, {}),
    "hang": 30,
    "reset": None,
    "truncated reply": (200, '{"choices": [{"index": 0, "mess', {}),
}
# what is done to an answer that comes
CONTENT: dict[str, Callable[[str], str]] = {
    "truncated JSON": lambda text: text[: len(text) // 2],
    "wrong schema": lambda text: '{"something": ["else"]}',
    "NaN": lambda text: re.sub(r'("(?:verdict|noncommittal|attributed)": )\d', r"\1NaN", text),
    "a score of 7.3": lambda text: re.sub(r'("(?:verdict|noncommittal|attributed)": )\d', r"\1 7.3", text),
}
FAULTS = (*CONNECTION, *CONTENT)


class FaultyJudge(ChatModel):
    """`percent` of its calls go wrong, by the number of the call."""

    def __init__(self, fault: str, percent: int) -> None:
        super().__init__(judged)
        self.fault, self.percent = fault, percent
        if fault in CONNECTION:
            self.plan = lambda number: CONNECTION[fault] if self._chosen(number) else "no"

    def _chosen(self, number: int) -> bool:
        return random.Random(number).random() * 100 < self.percent

    def answer(self, path: str, body: Any) -> Reply:
        first = [one for one in body["messages"] if one["role"] == "user"][:1]  # of a conversation about its JSON
        status, reply, headers = super().answer(path, {**body, "messages": first})
        if self.fault in CONTENT and self._chosen(len(self.answered)):
            message = reply["choices"][0]["message"]
            message["content"] = CONTENT[self.fault](message["content"])
        return status, reply, headers
