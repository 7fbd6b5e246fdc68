"""Models that think before they answer, and servers that refuse fields: what is the answer, and what is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rag_opt.core.errors import ServerFailed
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.messages import strip_thinking
from rag_opt.models.llm.settings import LanguageModel, Request
from rag_opt.models.llm.structured import parse_answer
from rag_opt.store.values import MemoryValues
from tests.servers import ChatModel, serving

THOUGHT = 'JSON such as {"verdict": 0}, says [1]? Let me check.'


class Verdict(BaseModel):
    verdict: int


class Said(BaseModel):
    said: str


class Thinker(ChatModel):
    def __init__(self, message: dict[str, Any]) -> None:
        super().__init__(str)
        self._message = message

    def answer(self, path: str, body: Any) -> Any:
        return 200, {"choices": [{"index": 0, "message": {"role": "assistant", **self._message}}]}, {}


def ask(server: Any, **settings: Any) -> LLMClient:
    model = LanguageModel(kind="openai_compatible", base_url=f"{server.url}/v1", model="m", **settings)
    return LLMClient(model, MemoryValues())


REQUEST = Request([{"role": "user", "content": "so?"}])


@pytest.mark.parametrize(
    "content",
    [
        f"<think>\n{THOUGHT}\n</think>\n\nNine o'clock.",
        f"{THOUGHT}\n</think>\n\nNine o'clock.",
        f"◁think▷{THOUGHT}◁/think▷Nine o'clock.",
        "<think>\n\n</think>\n\nNine o'clock.",
        f"<THINKING>{THOUGHT}</THINKING>Nine o'clock.",
        f"[THINK]{THOUGHT}[/THINK]Nine o'clock.",
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|channel|>final<|message|>Nine o'clock.<|return|>",
        "Nine o'clock.",
        [{"type": "thinking", "text": THOUGHT}, {"type": "text", "text": "Nine o'clock."}],
    ],
)
def test_what_a_model_thought_is_no_part_of_its_answer(content: object) -> None:
    with serving(Thinker({"content": content, "reasoning_content": THOUGHT})) as server:
        (completion,) = ask(server).complete([REQUEST])
    assert completion.text == "Nine o'clock."
    assert completion.output_tokens >= len(THOUGHT) / 4, "its thinking was written, and is paid for"


@pytest.mark.parametrize(
    "message",
    [
        {"content": f"<think>\n{THOUGHT} "},
        {"content": None, "reasoning_content": THOUGHT},
        {"content": "", "reasoning": THOUGHT},
        {"content": [{"type": "thinking", "text": THOUGHT}], "reasoning_content": THOUGHT},
    ],
)
def test_a_reply_that_never_leaves_its_thinking_is_no_answer(message: dict[str, Any]) -> None:
    with serving(Thinker(message)) as server, pytest.raises(ServerFailed, match="answered only its thinking"):
        ask(server).complete([REQUEST])


@given(st.text())
def test_text_without_thinking_is_left_as_it_is(text: str) -> None:
    marked = any(mark in text.lower() for mark in ("think", "thought", "reasoning", "channel"))
    assert marked or strip_thinking(text) == text


@pytest.mark.parametrize(
    "text",
    ['{"verdict": 1,}', '```json\n{"verdict": 1}\n```', '{"verdict": 1, }\nNote: {v}', '[{"verdict": 1},]'],
)
def test_json_with_small_faults_is_read(text: str) -> None:
    assert parse_answer(text, Verdict).verdict == 1


def test_a_comma_inside_a_string_stays() -> None:
    assert parse_answer('{"said": "a,} b,]"}', Said).said == "a,} b,]"


@pytest.mark.parametrize(
    ("name", "message", "sent"),
    [
        ("temperature", "Unsupported value: 'temperature' does not support 0.0 with this model.", None),
        ("seed", "Unsupported parameter: 'seed'", None),
        ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'.", "max_completion_tokens"),
        ("max_tokens", "Extra inputs are not permitted: max_tokens", None),
    ],
)
def test_a_field_that_is_refused_is_left_out_and_said_once(name: str, message: str, sent: str | None) -> None:
    class Picky(ChatModel):
        def answer(self, path: str, body: Any) -> Any:
            return (400, {"error": {"message": message}}, {}) if name in body else super().answer(path, body)

    with serving(Picky(lambda question: "yes")) as server:
        client = ask(server, max_tokens=50, temperature=0.0)
        requests = [Request([{"role": "user", "content": str(number)}], 1) for number in range(4)]
        assert [answer.text for answer in client.complete(requests)] == ["yes"] * 4
        said = client.take_remarks()
        assert len(said) == 1 and name in said[0] and client.take_remarks() == []
        assert sent is None or all(sent in body for _, body in server.seen if name not in body)


def test_a_limit_that_is_too_large_is_not_left_out() -> None:
    class Small(ChatModel):
        def answer(self, path: str, body: Any) -> Any:
            return 400, {"error": {"message": "max_tokens is too large: 9000; this model has 2048"}}, {}

    with serving(Small(str)) as server, pytest.raises(ServerFailed, match="max_tokens is too large"):
        ask(server, max_tokens=9000).complete([REQUEST])
