"""Answers as JSON of a given form; a wrong one is asked for again, with the reason."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from rag_opt.core.strict import PlainDict
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import Completion, Messages, Request

Form = TypeVar("Form", bound=BaseModel)
_TRIES = 3
_BINARY = {"verdict", "noncommittal", "attributed"}  # what ragas' forms declare as any whole number
_AGAIN = "That cannot be used: {why}. Answer again, with nothing but one JSON object that complies with the schema."


class Unusable(Exception):
    """An answer in the form that was asked for was never given, however often it was asked."""


async def ask_structured(
    llm_client: LLMClient,
    messages: Messages,
    form: type[Form],
    number: int = 0,
    *,
    observe: Callable[[Completion], None] = lambda reply: None,
) -> Form:
    """Return the answer to the messages as an object of `form`.

    `number` sets repeated requests apart; `observe` is shown every reply on the way. Raises Unusable, and as
    `LLMClient.ask`.
    """
    why = ""
    for _ in range(_TRIES):
        reply = await llm_client.ask(Request(messages, number, schema=_schema(form)))
        observe(reply)
        try:
            return parse_answer(reply.text, form)
        except ValueError as error:
            why = f"{error} (cut off at max_tokens)" if reply.finish == "length" else str(error)
            again = {"role": "user", "content": _AGAIN.format(why=why)}
            messages = [*messages, {"role": "assistant", "content": reply.text}, again]
    raise Unusable(f"{form.__name__}: {why}")


@functools.cache
def _schema(form: type[BaseModel]) -> PlainDict:
    return form.model_json_schema()


def parse_answer(text: str, form: type[Form]) -> Form:
    """Return the object in a model's answer. Raises ValueError in words that tell a model what is wrong."""
    first, last = text.find("{"), text.rfind("}")
    try:
        data = orjson.loads(text[first : last + 1] if 0 <= first < last else text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    try:
        answer = form.model_validate(data)
    except ValidationError as error:
        first_error = error.errors(include_url=False)[0]
        path = ".".join(map(str, first_error["loc"])) or "the answer"
        raise ValueError(f"{path}: {first_error['msg']}") from None
    problem = _find_out_of_range(data)
    if problem:
        raise ValueError(problem)
    return answer


def _find_out_of_range(data: object) -> str:
    """Return the problem of the first verdict that is neither yes nor no; empty where there is none."""
    if isinstance(data, list):
        return next(filter(None, map(_find_out_of_range, data)), "")
    if not isinstance(data, dict):
        return ""
    for name, value in data.items():
        if name in _BINARY and str(value) not in ("0", "1", "True", "False"):
            return f"{name} is {value!r}; should be 0 or 1"
    return next(filter(None, map(_find_out_of_range, data.values())), "")
