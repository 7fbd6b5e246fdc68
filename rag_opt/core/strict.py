"""Plain data in, typed settings out: strictly, with every problem listed at once.

Settings and parts are frozen pydantic dataclasses declared with `config=STRICT`, so an object that
exists is valid. Unknown keys, wrong types and values out of range are refused with their dotted path,
the value, what is allowed and the nearest name.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

import orjson
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from rag_opt.core.errors import BadInput, Problem, suggest_names

PlainDict = dict[str, Any]  # plain data: a composed config, a JSON object
PlainMapping = Mapping[str, Any]
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Settings = TypeVar("Settings")


def load(cls: type[Settings], data: object, *, path: str = "") -> Settings:
    """Build `cls` from plain data (dicts, lists, scalars). Raises BadInput listing all problems under `path`."""
    try:
        encoded = orjson.dumps(data)
    except TypeError as error:
        raise BadInput(list(_find_unencodable(data, path)) or [Problem(path, str(error))]) from None
    try:
        settings: Settings = _adapter(cls).validate_json(encoded, strict=True)  # type: ignore[arg-type] # mypy takes type[T] for unhashable
        return settings
    except ValidationError as error:
        problems = [_problem(cls, detail, path) for detail in error.errors(include_url=False)]
        raise BadInput(problems) from None


@functools.cache
def _adapter(cls: type[Settings]) -> TypeAdapter[Settings]:
    return TypeAdapter(cls)


def dump(settings: object) -> PlainDict:
    """Return the plain data that `load` turns back into an equal object."""
    flat = {name: getattr(settings, name) for name in _field_names(type(settings))}  # type: ignore[arg-type] # as above
    if all(value is None or isinstance(value, (str, int, float)) for value in flat.values()):
        return flat
    plain: PlainDict = orjson.loads(orjson.dumps(dataclasses.asdict(settings)))  # type: ignore[call-overload] # settings are dataclasses
    return plain


@functools.cache
def _field_names(cls: type) -> tuple[str, ...]:
    return tuple(field_names(cls))


def field_names(cls: type) -> list[str]:
    """Return the names of a dataclass's fields, in their order."""
    return [field.name for field in dataclasses.fields(cls)]


def drop_defaults(cls: type, settings: PlainMapping, *, always: Collection[str] = ()) -> PlainDict:
    """Return the settings that differ from the defaults of `cls`, and those named in `always` as they are."""
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}
    return {name: value for name, value in settings.items() if name in always or defaults.get(name) != value}


def flatten(data: PlainMapping, prefix: str = "") -> PlainDict:
    """Return nested mappings as one level of dotted paths: {'a': {'b': 1}} -> {'a.b': 1}."""
    flat: PlainDict = {}
    for key, value in data.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{path}.")
        else:
            flat[path] = value
    return flat


def _find_unencodable(data: object, path: str) -> Iterator[Problem]:
    """Yield the values that JSON cannot hold: numbers beyond 64 bits, halves of characters, keys that are no text."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if not isinstance(key, str):
                yield Problem(path, f"has the key {key!r}; keys are text")
            yield from _find_unencodable(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, (list, tuple)):
        for number, value in enumerate(data):
            yield from _find_unencodable(value, f"{path}[{number}]")
    elif isinstance(data, int) and not -(2**63) <= data < 2**63:
        yield Problem(path, f"is {data:.3g}; whole numbers have at most 64 bits")
    elif isinstance(data, str) and not data.isascii():
        try:
            data.encode()
        except UnicodeEncodeError:
            yield Problem(path, f"is {ascii(data)[:80]}, which is not Unicode text")


def _problem(cls: type, detail: ErrorDetails, path: str) -> Problem:
    where = ".".join([path, *map(str, detail["loc"])]) if path else ".".join(map(str, detail["loc"]))
    if detail["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        owner = _find_owner(cls, detail["loc"][:-1])
        known = field_names(owner) if owner is not None else []
        name = str(detail["loc"][-1])
        return Problem(where, f"there is no setting {name!r}{suggest_names(name, known)}")
    if detail["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return Problem(where, "must be given")
    if detail["type"] == "value_error":  # a rule between settings, in the part's own words
        return Problem(where, str(detail["ctx"]["error"]))
    message = detail["msg"].removeprefix("Input should be ")
    return Problem(where, f"is {detail['input']!r}; should be {message}")


def _find_owner(cls: type, location: tuple[int | str, ...]) -> type | None:
    """Return the dataclass that a location inside `cls` belongs to, looking through Optional, list and dict."""
    owner: object = cls
    for step in location:
        if not isinstance(owner, type) or not dataclasses.is_dataclass(owner) or step not in field_names(owner):
            return None
        hint = typing.get_type_hints(owner)[str(step)]
        inside = [argument for argument in typing.get_args(hint) if dataclasses.is_dataclass(argument)]
        owner = inside[0] if inside else hint
    return owner if isinstance(owner, type) and dataclasses.is_dataclass(owner) else None
