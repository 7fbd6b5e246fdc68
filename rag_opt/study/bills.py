"""What a trial asked of language models."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rag_opt.parts.models.chat import Chat, copied
from rag_opt.parts.models.spending import Spent, grown
from rag_opt.pipeline import Responses, Workshop

_REASONS, _CHARACTERS = 5, 300


class Bill:
    """Opened before a trial; `now` says what has come on it since."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._chats: list[Chat] = [chat for chat in (workshop.chat, workshop.judge) if chat is not None]
        self._before = copied(workshop.spending.by_who)
        self._used = [(chat.used.calls, chat.used.usd) for chat in self._chats]
        self._failures = Counter(workshop.judge.failures) if workshop.judge is not None else Counter[str]()

    def now(self, responses: Responses) -> dict[str, Any]:
        """`paid`, `used` and `failures` as a trial keeps them."""
        more = grown(self._before, self._workshop.spending.by_who)
        paid = {f"{who}/{name}": value for who, numbers in more.items() for name, value in numbers.items()}
        used = Spent()
        for chat, (calls, usd) in zip(self._chats, self._used, strict=True):
            used.add(Spent(chat.used.calls - calls, 0, 0, chat.used.usd - usd))
        failures = Counter(why[:_CHARACTERS] for why in responses.asked.failed if why)
        if self._workshop.judge is not None:
            for why, count in (self._workshop.judge.failures - self._failures).items():
                failures[why[:_CHARACTERS]] += count
        return {
            "paid": paid,
            "used": {"calls": float(used.calls), "usd": used.usd} if used.calls else {},
            "failures": dict(failures.most_common(_REASONS)),
        }
