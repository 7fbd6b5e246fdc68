"""Answers as JSON of a given form; a wrong one is asked for again, with the reason."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from rag_opt.core.strict import PlainDict
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import Completion, Messages, Request

Form = TypeVar("Form", bound=BaseModel)
_TRIES = 3
_SHOWN = 200  # characters of an answer that is of no use
_MOST_BRACES = 200  # that may begin an object
_BINARY = {"verdict", "noncommittal", "attributed"}  # what ragas' forms declare as any whole number
_TRAILING_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])', re.DOTALL)
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
    raise Unusable(f"{form.__name__}: {why}; the last answer was {reply.text[:_SHOWN]!r}")


@functools.cache
def _schema(form: type[BaseModel]) -> PlainDict:
    return form.model_json_schema()


def parse_answer(text: str, form: type[Form]) -> Form:
    """Return the object in a model's answer: the first complete one of the form, whatever stands around it.

    Raises ValueError in words that tell a model what is wrong, and for two objects of the form that differ.
    """
    found, problem = list[tuple[object, Form]](), "it is not JSON: there is no object in it"
    for data in _find_objects(_repair_commas(text)):
        try:
            found.append((data, _validate(data, form)))
        except ValueError as error:
            problem = str(error) if not found else problem
    if not found:
        raise ValueError(problem)
    if any(data != found[0][0] for data, _ in found):
        raise ValueError(f"it holds {len(found)} answers that differ")
    return found[0][1]


def _find_objects(text: str) -> Iterator[object]:
    """Yield the complete JSON objects in a text, one after another. Raises ValueError where what begins one is none."""
    decoder, place, looked = json.JSONDecoder(parse_constant=_refuse), text.find("{"), 0
    problem: ValueError | None = None
    any_found = False
    while place >= 0 and looked < _MOST_BRACES:
        looked += 1
        try:
            data, end = decoder.raw_decode(text, place)
            yield data
            any_found, place = True, text.find("{", end)
        except ValueError as error:
            problem, place = problem or ValueError(f"it is not JSON: {error}"), text.find("{", place + 1)
        except RecursionError:
            raise ValueError("it is not JSON: it is nested too deeply") from None
    if problem is not None and not any_found:
        raise problem


def _repair_commas(text: str) -> str:
    """Return a text without a comma before the end of an object or list, outside of strings."""
    return _TRAILING_COMMA.sub(lambda match: match[0] if match[0][0] == '"' else "", text)


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")


def _validate(data: object, form: type[Form]) -> Form:
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
