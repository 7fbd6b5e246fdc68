"""Answers as JSON in the form that was asked for; asked for again, with what was wrong, if they are not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import Completion, Messages, Request

Form = TypeVar("Form", bound=BaseModel)
_TRIES = 3
_BINARY = {"verdict", "noncommittal", "attributed"}  # what ragas' forms declare as any whole number
_AGAIN = "That cannot be used: {why}. Answer again, with nothing but one JSON object that complies with the schema."


class Unusable(Exception):
    """No answer in the form that was asked for, however often it was asked."""


async def structured(
    llm_client: LLMClient,
    messages: Messages,
    form: type[Form],
    number: int = 0,
    *,
    told: Callable[[Completion], None] = lambda reply: None,
) -> Form:
    """The answer to the messages. `number` sets repeated requests apart; `told` hears of every reply on the way.

    Raises Unusable, and as `Chat.ask`.
    """
    why = ""
    for _ in range(_TRIES):
        reply = await llm_client.ask(Request(messages, number, schema=_schema(form)))
        told(reply)
        try:
            return read(reply.text, form)
        except ValueError as error:
            why = f"{error} (cut off at max_tokens)" if reply.finish == "length" else str(error)
            again = {"role": "user", "content": _AGAIN.format(why=why)}
            messages = [*messages, {"role": "assistant", "content": reply.text}, again]
    raise Unusable(f"{form.__name__}: {why}")


@functools.cache
def _schema(form: type[BaseModel]) -> dict[str, Any]:
    return form.model_json_schema()


def read(text: str, form: type[Form]) -> Form:
    """The object in a model's answer. Raises ValueError in words that tell a model what is wrong."""
    first, last = text.find("{"), text.rfind("}")
    try:
        data = orjson.loads(text[first : last + 1] if 0 <= first < last else text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    try:
        found = form.model_validate(data)
    except ValidationError as error:
        one = error.errors(include_url=False)[0]
        place = ".".join(map(str, one["loc"])) or "the answer"
        raise ValueError(f"{place}: {one['msg']}") from None
    wrong = _out_of_range(data)
    if wrong:
        raise ValueError(wrong)
    return found


def _out_of_range(data: Any) -> str:
    """Verdicts that are neither yes nor no."""
    if isinstance(data, list):
        return next(filter(None, map(_out_of_range, data)), "")
    if not isinstance(data, dict):
        return ""
    for name, value in data.items():
        if name in _BINARY and str(value) not in ("0", "1", "True", "False"):
            return f"{name} is {value!r}; should be 0 or 1"
    return next(filter(None, map(_out_of_range, data.values())), "")
