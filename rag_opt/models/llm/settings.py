"""Settings of a language model: where it is, how it is asked, what it costs; never its key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Problem
from rag_opt.core.secrets import is_secret
from rag_opt.core.strict import STRICT, PlainDict, field_names

Messages = list[dict[str, str]]
_JUDGES_OWN = (
    "temperature",
    "max_tokens",
    "structured",
    "repeats",
    "guard",
    "language",
    "labels",
)  # whosever model it is
_NO_SECRET = re.compile(r"cache_key|(?:stop|pad|eos|bos)_?token", re.IGNORECASE)
_VARIABLE = re.compile(r"^[A-Z_][A-Z0-9_]*$")
# headers and fields that hold secrets; their values are given by the name of a variable, and never shown
_SECRET = re.compile(r"auth|api[-_]?key|secret|passw|credential|cookie|bearer|(?:^|[-_.])(?:key|token)$", re.I)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LanguageModel:
    """Settings of a language model behind a server that speaks OpenAI's protocol, or a service that LiteLLM knows.

    Its answers are stored by model and revision, wherever the server is.
    """

    kind: Annotated[
        Literal["none", "openai_compatible", "litellm"],
        Doc("none: there is no language model; litellm: any service that LiteLLM knows."),
    ] = "none"
    base_url: Annotated[
        str | None, Doc("Address of the server, as in `https://host/v1`; of litellm: where it is not the maker's.")
    ] = None
    model: Annotated[str | None, Doc("Name of the model on the server; of litellm with its maker before it.")] = None
    revision: Annotated[
        str | int | None, Doc("Sets apart models that a server calls by the same name; part of stored keys.")
    ] = None
    key_variable: Annotated[str | None, Doc("Environment variable that holds the key of the server.")] = None
    temperature: Annotated[
        Annotated[float, Ge(0), Le(2)] | None, Doc("Temperature of the answers; null: none is sent.")
    ] = 0.0
    max_tokens: Annotated[
        Annotated[int, Ge(1), Le(1_000_000)] | None, Doc("Most tokens of an answer; null: none is sent.")
    ] = 512
    structured: Annotated[
        Literal["auto", "json_schema", "json_object", "none"],
        Doc("How an answer as JSON is asked for; auto: json_schema, and what is weaker where the server refuses it."),
    ] = "auto"
    headers: Annotated[dict[str, str], Doc("Headers of every request; no secrets.")] = field(default_factory=dict)
    header_variables: Annotated[
        dict[str, str], Doc("Headers whose values stand in environment variables: header -> variable.")
    ] = field(default_factory=dict)
    extra_body: Annotated[PlainDict, Doc("Fields that are added to the body of every request.")] = field(
        default_factory=dict
    )
    ca_bundle: Annotated[str | None, Doc("File with certificates of authorities; null: the environment's.")] = None
    usd_per_million_input_tokens: Annotated[float, Ge(0), Doc("Price of a million input tokens in US dollars.")] = 0.0
    usd_per_million_output_tokens: Annotated[float, Ge(0), Doc("Price of a million output tokens in US dollars.")] = 0.0
    usd_per_million_cached_tokens: Annotated[
        Annotated[float, Ge(0)] | None,
        Doc("Price of a million input tokens that the service had cached; null: as other input."),
    ] = None
    usd_per_hour: Annotated[float, Ge(0), Doc("Price of an hour of the server in US dollars.")] = 0.0
    concurrency: Annotated[int, Ge(1), Le(1024), Doc("Most requests that are in flight at once.")] = 16
    timeout_s: Annotated[float, Gt(0), Doc("Seconds after which a request counts as not answered.")] = 100.0
    give_up_s: Annotated[float, Gt(0), Doc("Seconds after which a server that answers nothing is down.")] = 100.0

    @property
    def identity(self) -> list[object]:
        """Settings that determine its answers to a request."""
        return [self.model, self.revision, self.temperature, self.max_tokens, self.structured, self.extra_body]

    @property
    def configured(self) -> bool:
        """True where there is a model to be asked."""
        return self.kind in ("openai_compatible", "litellm")

    @property
    def priced(self) -> bool:
        """True where it costs anything."""
        return bool(self.usd_per_million_input_tokens or self.usd_per_million_output_tokens or self.usd_per_hour)

    def usd(
        self, input_tokens: float, output_tokens: float, took_s: float = 0.0, *, cached_tokens: float = 0.0
    ) -> float:
        """Return the price of an answer in US dollars; by the hour, its share where `concurrency` are asked at once.

        `cached_tokens`: of the input, what the service had read before.
        """
        tokens = input_tokens * self.usd_per_million_input_tokens + output_tokens * self.usd_per_million_output_tokens
        if self.usd_per_million_cached_tokens is not None:
            cached = min(cached_tokens, input_tokens)
            tokens += cached * (self.usd_per_million_cached_tokens - self.usd_per_million_input_tokens)
        return tokens / 1e6 + took_s / 3600 * self.usd_per_hour / self.concurrency


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Judge(LanguageModel):
    """Settings of a language model that judges answers."""

    kind: Annotated[
        Literal["none", "openai_compatible", "litellm", "same"],
        Doc("same: the model that answers; none: there is no judge."),
    ] = "none"  # type: ignore[assignment]  # a judge has one kind more than a model that answers
    max_tokens: Annotated[
        Annotated[int, Ge(1), Le(1_000_000)] | None, Doc("Most tokens of a verdict; null: none is sent.")
    ] = 4096
    repeats: Annotated[
        int, Ge(1), Le(100), Doc("Times that each verdict is asked for; at temperature 0 only the seed differs.")
    ] = 1
    guard: Annotated[bool, Doc("Whether the judge is told that what it judges is no instruction.")] = True
    language: Annotated[
        str | None, Doc("Language of its prompts, by English name or ISO code; null: that of the documents.")
    ] = None
    labels: Annotated[
        str | None, Doc("People's labels (JSON lines, as of check --judge) that a judged gain is corrected by.")
    ] = None

    @property
    def is_generator(self) -> bool:
        """True where the model that answers is also the one that judges."""
        return self.kind == "same"

    @property
    def judging(self) -> list[object]:
        """Settings that determine its verdicts."""
        return [*self.identity, self.repeats, self.guard, self.language]


def resolve_judge(judge: Judge, generator: LanguageModel) -> Judge:
    """Return the judge as it is asked: one that is the model that answers has that one's address and price."""
    if not judge.is_generator or not generator.configured:
        return judge
    own = {"kind", *_JUDGES_OWN}
    if judge.structured == "auto":  # nobody said it: as the model is asked for its answers
        own -= {"structured"}
    shared = {name: getattr(generator, name) for name in field_names(LanguageModel) if name not in own}
    return replace(judge, kind=generator.kind, **shared)


class Request(NamedTuple):
    """A request to a language model.

    `attempt` sets repeated requests apart. `temperature`: where it is not that of the settings. `schema`: JSON schema
    of the answer, where one is wanted. `shared_characters`: so much of the beginning of its last message other requests
    share, so that a service which caches only what it is told to is told.
    """

    messages: Messages
    attempt: int = 0
    temperature: float | None = None
    schema: PlainDict | None = None
    shared_characters: int = 0


class Completion(NamedTuple):
    """An answer of a language model.

    `took_ms`: milliseconds when it was first given; `finish`: as the server says it, `length` where it was cut off.
    `cached_tokens`: of the input, what the service had read before, and charges less for.
    """

    text: str
    took_ms: float
    input_tokens: int
    output_tokens: int
    finish: str
    cached_tokens: int = 0


def find_misconfigurations(model: LanguageModel, where: str) -> Iterator[Problem]:
    """Yield the settings that are missing, and secrets that would be written down. No secret is repeated."""
    if model.configured:
        for name in ("model",) if model.kind == "litellm" else ("base_url", "model"):
            if getattr(model, name) in (None, "", "???"):
                yield Problem(f"{where}.{name}", f"must be given: {where}.{name}=…")
    yield from _secrets(model, where)
    if not model.configured:
        usual, own = type(model)(kind=model.kind), {"kind", *_JUDGES_OWN}
        for name in (name for name in field_names(type(model)) if name not in own):
            if getattr(model, name) not in (getattr(usual, name), "???"):
                problem = f"has no effect while {where} is {model.kind}; it belongs to {where}=openai_compatible"
                yield Problem(f"{where}.{name}", problem.replace("judge=", "llm@judge="))
    if model.ca_bundle is not None and not Path(model.ca_bundle).is_file():
        yield Problem(f"{where}.ca_bundle", f"there is no file {model.ca_bundle!r}")


def _secrets(model: LanguageModel, where: str) -> Iterator[Problem]:
    yield from find_address_problems(str(model.base_url or ""), f"{where}.base_url")
    variables = {"key_variable": model.key_variable}
    variables |= {f"header_variables.{header}": variable for header, variable in model.header_variables.items()}
    for name, variable in variables.items():
        if variable is not None and not _VARIABLE.match(variable):
            problem = "should be the NAME of an environment variable, in capitals, not a key (it is not repeated here)"
            yield Problem(f"{where}.{name}", problem)
    for name, value in model.headers.items():
        if _SECRET.search(name) or is_secret(value):
            problem = f"holds a secret: +{where}.header_variables.{name}=VARIABLE names the variable with its value"
            yield Problem(f"{where}.headers.{name}", problem)
    for name, content in _fields(model.extra_body):
        named = _SECRET.search(name) and not _NO_SECRET.search(name)
        if named or (isinstance(content, str) and is_secret(content)):
            yield Problem(f"{where}.extra_body.{name}", "looks like a secret, and would be written down")


def _fields(data: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield all fields by their dotted paths, in lists too."""
    pairs = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else ()
    for name, value in pairs:
        inside = f"{path}.{name}" if path else str(name)
        yield inside, value
        yield from _fields(value, inside)


def find_address_problems(url: str, where: str) -> Iterator[Problem]:
    """Yield the problems of an address that will be written down; a secret in it is not repeated."""
    if url == "???":
        return
    try:
        parts = urlsplit(url)
    except ValueError:
        yield Problem(where, "is no address; should be as in http://127.0.0.1:8000/v1")
        return
    if "@" in parts.netloc or parts.query or parts.fragment:
        problem = "holds a user, password or query, which would be written down; key_variable names where the key is"
        yield Problem(where, problem)
    elif url and parts.scheme not in ("http", "https"):
        yield Problem(where, f"is {url!r}; should begin with http:// or https://")
