"""A language model behind any OpenAI-compatible endpoint; every request is sent once and its answer stored."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import orjson
from annotated_types import Ge, Gt, Le
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.errors import ServerFailed
from rag_opt.parts.models.endpoint import Endpoint, TooMuch
from rag_opt.store.keys import item_key
from rag_opt.store.values import Values

Messages = list[dict[str, str]]
_SHELF = "completions"
_AT_ONCE = 64  # what is paid for is stored in parts of so many


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LanguageModel:
    """`base_url` as in `https://host/v1`; `key_variable`: the environment variable that holds its key."""

    kind: Literal["none", "openai_compatible"] = "none"
    base_url: str | None = None
    model: str | None = None
    key_variable: str | None = None
    temperature: Annotated[float, Ge(0), Le(2)] = 0.0
    max_tokens: Annotated[int, Ge(1), Le(1_000_000)] = 512
    timeout_s: Annotated[float, Gt(0)] = 120.0
    most_at_once: Annotated[int, Ge(1), Le(1024)] = 16


class Chat:
    """Asks a language model, many requests at once."""

    def __init__(self, settings: LanguageModel, values: Values) -> None:
        self.settings, self._values = settings, values
        self.asked = 0
        self._endpoint = Endpoint(
            str(settings.base_url),
            key_variable=settings.key_variable,
            timeout_s=settings.timeout_s,
            most_in_flight=settings.most_at_once,
        )

    def keys(self, requests: Sequence[tuple[Messages, int]]) -> list[bytes]:
        """Under what the answers are stored: the whole request, and which attempt at it."""
        place = self._endpoint.url
        return [item_key("chat", [place, self._body(messages), attempt]) for messages, attempt in requests]

    def complete(self, requests: Sequence[tuple[Messages, int]]) -> list[tuple[str, float]]:
        """Text and milliseconds of each answer, as it was first given. A request is its messages, and a number that
        sets repeated ones apart.

        Raises ServerFailed where the model does not answer, or with nothing. What was answered before is stored.
        """

        def compute(wanted: Sequence[Messages]) -> list[bytes]:
            return [orjson.dumps(pair) for pair in self._endpoint.map(self._one, wanted)]

        found: list[tuple[str, float]] = []
        for first in range(0, len(requests), _AT_ONCE):
            some = requests[first : first + _AT_ONCE]
            stored = self._values.fill(_SHELF, self.keys(some), lambda at, s=some: compute([s[i][0] for i in at]))  # type: ignore[misc]
            found += [(text, took_ms) for text, took_ms in map(orjson.loads, stored)]
        return found

    def _body(self, messages: Messages) -> dict[str, Any]:
        settings = self.settings
        limits = {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
        return {"model": settings.model, "messages": messages, **limits}

    def _one(self, messages: Messages) -> tuple[str, float]:
        self.asked += 1
        started = time.perf_counter()
        place = f"{self._endpoint.url}/chat/completions"
        try:
            reply = self._endpoint.post("/chat/completions", self._body(messages))
        except TooMuch as error:
            raise ServerFailed(f"{place} refuses the request: {error}") from None
        try:
            text = reply["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            raise ServerFailed(f"{place} answered no message: {str(reply)[:200]}") from None
        if not isinstance(text, str) or not text.strip():
            raise ServerFailed(f"{place} answered an empty message")
        return text, (time.perf_counter() - started) * 1000
