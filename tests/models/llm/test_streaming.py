"""Answers of a language model as they come: from a real server that streams, breaks, thinks, or cannot stream."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Iterator

import orjson
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from rag_opt.core.errors import ServerFailed
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import LanguageModel
from rag_opt.models.llm.settings import Request as Asked
from rag_opt.store.values import MemoryValues
from tests.production.service.conftest import running

ANSWER = ["It takes ", "three ", "months", ", as § 4 says: ä€𝄞."]


class Model:
    """Says `pieces`, 50 ms apart; breaks off the first `breaks` replies in their middle; may refuse to stream."""

    def __init__(self) -> None:
        self.pieces, self.breaks, self.streams, self.status = ANSWER, 0, True, 200
        self.asked: list[bool] = []
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.complete)

    async def complete(self, request: Request) -> Response:
        streamed = (await request.json())["stream"]
        self.asked.append(streamed)
        if self.status != 200:
            return JSONResponse({"error": {"message": "no"}}, self.status)
        if streamed and not self.streams:
            return JSONResponse({"error": {"message": "stream is not supported"}}, 400)
        if not streamed:
            message = {"role": "assistant", "content": "".join(self.pieces)}
            return JSONResponse({"choices": [{"message": message, "finish_reason": "stop"}]})
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[bytes]:
        for number, piece in enumerate(self.pieces):
            if self.breaks and number == 2:
                self.breaks -= 1
                raise ConnectionError("the model was restarted")
            event = b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": {"content": piece}}]}) + b"\n\n"
            yield event[:17]  # where it is cut does not matter
            await asyncio.sleep(0.05)
            yield event[17:]
        yield b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


@pytest.fixture
def model() -> Iterator[tuple[Model, LLMClient]]:
    said = Model()
    server = uvicorn.Server(uvicorn.Config(said.app, host="127.0.0.1", port=0, log_level="critical"))
    with running(server) as url:
        settings = LanguageModel(kind="openai_compatible", model="mine", base_url=f"{url}/v1", give_up_s=5)
        yield said, LLMClient(settings, MemoryValues())


def asked(text: str = "How long?") -> Asked:
    return Asked([{"role": "user", "content": text}])


def test_pieces_come_while_the_model_still_speaks_and_the_answer_is_stored(model: tuple[Model, LLMClient]) -> None:
    said, client = model
    times, pieces, started = [], [], time.monotonic()
    for piece in client.stream(asked()):
        times.append(time.monotonic() - started)
        pieces.append(piece)
    assert pieces == ANSWER and times[-1] - times[0] > 0.1
    assert client.complete([asked()])[0].text == "".join(ANSWER)
    assert list(client.stream(asked())) == ["".join(ANSWER)] and said.asked == [True], "asked once"


def test_thinking_is_not_shown(model: tuple[Model, LLMClient]) -> None:
    said, client = model
    said.pieces = ["<think>", "Let me see.", "</think>", "\n\nThree ", "months."]
    assert list(client.stream(asked())) == ["Three ", "months."]
    said.pieces = ["\n", "<", "think", ">", "Let me see.", "</think>", "Three ", "months."]
    assert list(client.stream(asked("again"))) == ["Three ", "months."]
    said.pieces = ["Let me see.", "</think>", "Three."]  # it began in the prompt
    assert list(client.stream(asked("once more"))) == ["Let me see.", "\n\nThree."], "the answer comes all the same"


def test_who_leaves_a_stream_takes_the_answer_from_nobody(model: tuple[Model, LLMClient]) -> None:
    said, client = model
    left = client.stream(asked())
    assert next(left) == ANSWER[0]
    left.close()
    assert client.complete([asked()])[0].text == "".join(ANSWER) and said.asked == [True]


def test_a_key_that_the_model_repeats_is_not_streamed(
    model: tuple[Model, LLMClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    said, client = model
    monkeypatch.setenv("MYK", "supersecretkey123")
    own = client.with_settings(dataclasses.replace(client.settings, key_variable="MYK"))
    said.pieces = ["Your key is super", "secret", "key123, keep it."]
    pieces = list(own.stream(asked()))
    assert "".join(pieces) == "Your key is $MYK, keep it." and len(pieces) > 1


def test_a_reply_that_breaks_off_is_asked_for_again_and_nothing_is_said_twice(model: tuple[Model, LLMClient]) -> None:
    said, client = model
    said.breaks = 1
    assert list(client.stream(asked())) == ANSWER and said.asked == [True, True]


def test_a_server_that_cannot_stream_gives_it_whole(model: tuple[Model, LLMClient]) -> None:
    said, client = model
    said.streams = False
    assert list(client.stream(asked())) == ["".join(ANSWER)] and said.asked == [True, False]


def test_a_model_that_refuses_is_told(model: tuple[Model, LLMClient]) -> None:
    said, client = model
    said.status = 400
    with pytest.raises(ServerFailed, match="refuses the request"):
        list(client.stream(asked()))
