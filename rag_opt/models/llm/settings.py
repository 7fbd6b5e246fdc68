"""A language model as it is set up: where it is, how it is asked, what it costs. Never its key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Problem
from rag_opt.core.strict import STRICT

Messages = list[dict[str, str]]
_JUDGES_OWN = ("temperature", "max_tokens", "structured", "repeats", "guard", "language")  # whosever model it is
_NO_SECRET = re.compile(r"cache_key|(?:stop|pad|eos|bos)_?token", re.IGNORECASE)
_VARIABLE = re.compile(r"^[A-Z_][A-Z0-9_]*$")
# headers and fields that hold secrets; their values are given by the name of a variable, and never shown
_SECRET = re.compile(r"auth|api[-_]?key|secret|passw|credential|cookie|bearer|(?:^|[-_.])(?:key|token)$", re.I)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LanguageModel:
    """`base_url` as in `https://host/v1`. `revision` sets apart what a server calls by the same name: answers are
    stored by model and revision, wherever the server is. `key_variable`: the environment variable that holds its key;
    `header_variables`: header -> the variable with its value. `temperature` and `max_tokens`: null sends none.
    `structured`: how an answer as JSON is asked for. Prices in US dollars. `give_up_s`: a server that answers nothing
    for so long is down.
    """

    kind: Literal["none", "openai_compatible"] = "none"
    base_url: str | None = None
    model: str | None = None
    revision: str | int | None = None
    key_variable: str | None = None
    temperature: Annotated[float, Ge(0), Le(2)] | None = 0.0
    max_tokens: Annotated[int, Ge(1), Le(1_000_000)] | None = 512
    structured: Literal["json_object", "json_schema", "none"] = "json_object"
    headers: dict[str, str] = field(default_factory=dict)
    header_variables: dict[str, str] = field(default_factory=dict)
    extra_body: dict[str, Any] = field(default_factory=dict)
    ca_bundle: str | None = None
    usd_per_million_input_tokens: Annotated[float, Ge(0)] = 0.0
    usd_per_million_output_tokens: Annotated[float, Ge(0)] = 0.0
    usd_per_hour: Annotated[float, Ge(0)] = 0.0
    concurrency: Annotated[int, Ge(1), Le(1024)] = 16
    timeout_s: Annotated[float, Gt(0)] = 100.0
    give_up_s: Annotated[float, Gt(0)] = 100.0

    @property
    def identity(self) -> list[Any]:
        """What determines its answers to a request."""
        return [self.model, self.revision, self.temperature, self.max_tokens, self.structured, self.extra_body]

    @property
    def priced(self) -> bool:
        return bool(self.usd_per_million_input_tokens or self.usd_per_million_output_tokens or self.usd_per_hour)

    def usd(self, input_tokens: float, output_tokens: float, took_s: float = 0.0) -> float:
        """What an answer costs; by the hour, its share where `concurrency` are asked at once."""
        tokens = input_tokens * self.usd_per_million_input_tokens + output_tokens * self.usd_per_million_output_tokens
        return tokens / 1e6 + took_s / 3600 * self.usd_per_hour / self.concurrency


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Judge(LanguageModel):
    """`kind: same` is the model that answers. `repeats`: each verdict is asked for so often; with a temperature of 0
    the seed alone sets them apart. `guard`: the judge is told that what it judges is no instruction. `language`: of its
    prompts (an English name or an ISO code; null: that of the documents).
    """

    kind: Literal["none", "openai_compatible", "same"] = "none"  # type: ignore[assignment]  # one more than a model's
    max_tokens: Annotated[int, Ge(1), Le(1_000_000)] | None = 4096
    repeats: Annotated[int, Ge(1), Le(100)] = 1
    guard: bool = True
    language: str | None = None

    @property
    def judging(self) -> list[Any]:
        """What determines its verdicts."""
        return [*self.identity, self.repeats, self.guard, self.language]


def resolved(judge: Judge, generator: LanguageModel) -> Judge:
    """The judge as it is asked: where it is the model that answers, at that one's address and price."""
    if judge.kind != "same" or generator.kind == "none":
        return judge
    own = {"kind", *_JUDGES_OWN}
    place = {one.name: getattr(generator, one.name) for one in fields(LanguageModel) if one.name not in own}
    return replace(judge, kind="openai_compatible", **place)


class Request(NamedTuple):
    """`attempt` sets repeated requests apart. `schema`: the JSON schema of the answer, where one is wanted."""

    messages: Messages
    attempt: int = 0
    temperature: float | None = None
    schema: dict[str, Any] | None = None


class Completion(NamedTuple):
    """`took_ms` when it was first given; `finish` as the server says it, `length` for one that was cut off."""

    text: str
    took_ms: float
    input_tokens: int
    output_tokens: int
    finish: str


def find_misconfigurations(model: LanguageModel, where: str) -> Iterator[Problem]:
    """What it lacks to be asked, and secrets that stand where they would be written down. No value is repeated."""
    if model.kind == "openai_compatible":
        for name in ("base_url", "model"):
            if getattr(model, name) in (None, "", "???"):
                yield Problem(f"{where}.{name}", f"must be given: {where}.{name}=…")
    yield from _secrets(model, where)
    if model.kind != "openai_compatible":
        usual, own = type(model)(kind=model.kind), {"kind", *_JUDGES_OWN}
        for name in (one.name for one in fields(type(model)) if one.name not in own):
            if getattr(model, name) not in (getattr(usual, name), "???"):
                what = f"says nothing while {where} is {model.kind}; it belongs to {where}=openai_compatible"
                yield Problem(f"{where}.{name}", what.replace("judge=", "llm@judge="))
    if model.ca_bundle is not None and not Path(model.ca_bundle).is_file():
        yield Problem(f"{where}.ca_bundle", f"there is no file {model.ca_bundle!r}")


def _secrets(model: LanguageModel, where: str) -> Iterator[Problem]:
    yield from written_address(str(model.base_url or ""), f"{where}.base_url")
    variables = {"key_variable": model.key_variable}
    variables |= {f"header_variables.{header}": variable for header, variable in model.header_variables.items()}
    for name, variable in variables.items():
        if variable is not None and not _VARIABLE.match(variable):
            what = "should be the NAME of an environment variable, in capitals, not a key (it is not repeated here)"
            yield Problem(f"{where}.{name}", what)
    for name in model.headers:
        if _SECRET.search(name):
            what = f"holds a secret: +{where}.header_variables.{name}=VARIABLE names the variable with its value"
            yield Problem(f"{where}.headers.{name}", what)
    for name in _names(model.extra_body):
        if _SECRET.search(name) and not _NO_SECRET.search(name):
            yield Problem(f"{where}.extra_body.{name}", "looks like a secret, and would be written down")


def _names(data: Any, path: str = "") -> Iterator[str]:
    """Dotted paths of all fields, in lists too."""
    pairs = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else ()
    for name, value in pairs:
        inside = f"{path}.{name}" if path else str(name)
        yield inside
        yield from _names(value, inside)


def written_address(url: str, where: str) -> Iterator[Problem]:
    """What is wrong with an address that will be written down; a secret in it is not repeated."""
    if url == "???":
        return
    try:
        parts = urlsplit(url)
    except ValueError:
        yield Problem(where, "is no address; should be as in http://127.0.0.1:8000/v1")
        return
    if "@" in parts.netloc or parts.query or parts.fragment:
        what = "holds a user, password or query, which would be written down; key_variable names where the key is"
        yield Problem(where, what)
    elif url and parts.scheme not in ("http", "https"):
        yield Problem(where, f"is {url!r}; should begin with http:// or https://")
