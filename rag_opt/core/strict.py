"""Plain data in, typed settings out: strictly, with every problem listed at once.

Settings and parts are frozen pydantic dataclasses declared with `config=STRICT`, so an object that
exists is valid. Unknown keys, wrong types and values out of range are refused with their dotted path,
the value, what is allowed and the nearest name.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping
from typing import Any, TypeVar, get_args, get_origin

import orjson
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from rag_opt.core.errors import BadInput, Problem, among

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Settings = TypeVar("Settings")


def load(cls: type[Settings], data: Any, *, path: str = "") -> Settings:
    """Build `cls` from plain data (dicts, lists, scalars). Raises BadInput listing all problems under `path`."""
    try:
        made: Settings = _adapter(cls).validate_json(orjson.dumps(data), strict=True)  # type: ignore[arg-type] # mypy takes type[T] for unhashable
        return made
    except ValidationError as error:
        problems = [_problem(cls, detail, path) for detail in error.errors(include_url=False)]
        raise BadInput(problems) from None


@functools.cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def dump(settings: Any) -> dict[str, Any]:
    """The plain data that `load` turns back into an equal object."""
    flat = {name: getattr(settings, name) for name in _field_names(type(settings))}  # type: ignore[arg-type] # as above
    if all(value is None or isinstance(value, (str, int, float)) for value in flat.values()):
        return flat
    plain: dict[str, Any] = orjson.loads(orjson.dumps(dataclasses.asdict(settings)))
    return plain


@functools.cache
def _field_names(cls: Any) -> tuple[str, ...]:
    return tuple(field_names(cls))


def field_names(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def told(cls: type, settings: Mapping[str, Any], *, always: Collection[str] = ()) -> dict[str, Any]:
    """The settings that tell something: those that are not as they are when nobody says, and some that always do."""
    usual = {field.name: field.default for field in dataclasses.fields(cls)}
    return {name: value for name, value in settings.items() if name in always or usual.get(name) != value}


def _problem(cls: type, detail: ErrorDetails, path: str) -> Problem:
    where = ".".join([path, *map(str, detail["loc"])]) if path else ".".join(map(str, detail["loc"]))
    if detail["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        owner = _owner(cls, detail["loc"][:-1])
        known = field_names(owner) if owner is not None else []
        name = str(detail["loc"][-1])
        return Problem(where, f"there is no setting {name!r}{among(name, known)}")
    if detail["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return Problem(where, "must be given")
    message = detail["msg"].removeprefix("Input should be ")
    return Problem(where, f"is {detail['input']!r}; should be {message}")


def _owner(cls: Any, location: tuple[int | str, ...]) -> type | None:
    """The dataclass that a location inside `cls` belongs to, looking through Optional, list and dict."""
    for step in location:
        if not dataclasses.is_dataclass(cls):
            return None
        hints = {field.name: field.type for field in dataclasses.fields(cls)}
        if step not in hints:
            return None
        cls = _resolve(cls, str(step))
    return cls if isinstance(cls, type) and dataclasses.is_dataclass(cls) else None


def _resolve(cls: Any, name: str) -> Any:
    from typing import get_type_hints

    hint = get_type_hints(cls)[name]
    if get_origin(hint) is not None:
        inside = [arg for arg in get_args(hint) if dataclasses.is_dataclass(arg)]
        return inside[0] if inside else hint
    return hint


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one level of dotted paths: {'a': {'b': 1}} -> {'a.b': 1}."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{path}.")
        else:
            flat[path] = value
    return flat
