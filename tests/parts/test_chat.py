"""A language model behind an endpoint: what is asked, stored, and said when it does not answer."""

from __future__ import annotations

from typing import Any

import pytest

from rag_opt.errors import ServerFailed
from rag_opt.parts.models.chat import Chat, LanguageModel
from rag_opt.store import MemoryValues
from tests.servers import ChatModel, serving


def request(text: str, attempt: int = 0) -> tuple[list[dict[str, str]], int]:
    return [{"role": "user", "content": text}], attempt


def settings(url: str, **more: Any) -> LanguageModel:
    return LanguageModel(**{"kind": "openai_compatible", "base_url": f"{url}/v1", "model": "scripted", **more})


def test_each_request_is_sent_once_whoever_asks() -> None:
    values = MemoryValues()
    with serving(ChatModel(str.upper)) as server:
        chat = Chat(settings(server.url), values)
        first = chat.complete([request("a"), request("b"), request("a"), request("a", attempt=1)])
        assert [text for text, _ in first] == ["A", "B", "A", "A"] and all(took_ms > 0 for _, took_ms in first)
        assert Chat(settings(server.url), values).complete([request("b")]) == first[1:2]
        assert len(server.seen) == 3, "a, b, and a again because it was asked for"
        Chat(settings(server.url, temperature=0.5), values).complete([request("b")])
        assert len(server.seen) == 4, "another temperature is another request"
    with serving(ChatModel(str.lower)) as other:
        assert Chat(settings(other.url), values).complete([request("B")])[0][0] == "b", "and another server"


def test_what_was_answered_before_a_failure_is_kept() -> None:
    values = MemoryValues()
    with serving(ChatModel(str.upper)) as server:
        chat = Chat(settings(server.url, most_at_once=1), values)
        wanted = [request(f"text {number}") for number in range(100)]
        server.faults.extend(["no"] * 70 + [(401, {"error": {"message": "no more credit"}}, {})])
        with pytest.raises(ServerFailed, match="no more credit"):
            chat.complete(wanted)
        asked = len(server.seen)
        assert len(chat.complete(wanted)) == 100
        assert len(server.seen) - asked == 100 - 64, "what was stored before is not asked again"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((200, {"choices": []}, {}), "answered no message"),
        ((200, {"choices": [{"message": {"content": " "}}]}, {}), "an empty message"),
        ((200, {"choices": [{"message": {"content": None}}]}, {}), "an empty message"),
        ((400, {"error": {"message": "context too long"}}, {}), "refuses the request: 400: context too long"),
        ((403, {"error": {"message": "not you"}}, {}), "answered 403: not you"),
    ],
)
def test_nothing_is_taken_for_an_answer_that_is_none(fault: Any, said: str) -> None:
    values = MemoryValues()
    with serving(ChatModel(str.upper)) as server:
        chat = Chat(settings(server.url), values)
        server.faults.append(fault)
        with pytest.raises(ServerFailed, match=said):
            chat.complete([request("a")])
        assert not values.known("completions", chat.keys([request("a")]))
