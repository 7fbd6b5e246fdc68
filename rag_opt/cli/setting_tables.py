"""Settings in words: names, defaults, ranges and descriptions of settings dataclasses, as tables."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Gt, Le, Lt

from rag_opt.core.registry import description


class Setting(NamedTuple):
    """One setting in words."""

    name: str
    default: str
    allowed: str
    description: str


def settings_table(settings: Sequence[Setting]) -> list[str]:
    """Return the lines of a Markdown table of settings, with an empty line after it; nothing where there are none."""
    if not settings:
        return []
    rows = [f"| `{s.name}` | {_cell(s.default)} | {_cell(s.allowed)} | {_cell(s.description)} |" for s in settings]
    return ["| setting | default | allowed | what it is |", "| --- | --- | --- | --- |", *rows, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def list_settings(cls: type) -> Iterator[Setting]:
    """Yield the settings of a settings dataclass in words."""
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            default = _value(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            default = _value(field.default_factory())
        else:
            default = "must be given"
        yield Setting(field.name, default, describe_type(hints[field.name]), description(hints[field.name]))


def _value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if value == {}:
        return "{}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def describe_type(hint: Any) -> str:
    """Return a type in words: `8 to 32768`, `float32 | int8`, `null, or a whole number from 2`."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        base, *limits = typing.get_args(hint)
        ends = _ends(limits)
        if base in (int, float) and ends:
            return ends if base is float else f"{ends}, whole"
        return f"{describe_type(base)} {ends}".strip()
    if origin is Literal:
        return " | ".join(_value(value) for value in typing.get_args(hint))
    if origin in (typing.Union, types.UnionType):
        inside = [one for one in typing.get_args(hint) if one is not type(None)]
        words = " or ".join(describe_type(one) for one in inside)
        return f"null, or {words}" if len(inside) < len(typing.get_args(hint)) else words
    if origin in (list, tuple):
        return f"a list of {describe_type(typing.get_args(hint)[0])}"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true | false"}
    return names.get(hint) or ("settings" if origin is dict else str(getattr(hint, "__name__", hint)))


def _ends(limits: Sequence[object]) -> str:
    low = next((f"from {_value(one.ge)}" for one in limits if isinstance(one, Ge)), "")
    low = next((f"above {_value(one.gt)}" for one in limits if isinstance(one, Gt)), low)
    high = next((f"to {_value(one.le)}" for one in limits if isinstance(one, Le)), "")
    high = next((f"below {_value(one.lt)}" for one in limits if isinstance(one, Lt)), high)
    return f"{low} {high}".strip()
