"""The command `parts`: every part, with its settings, their defaults and ranges, and a line of help."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import typer
from annotated_types import Ge, Gt, Le, Lt

from rag_opt.core.errors import BadInput, Problem, among
from rag_opt.core.registry import kinds
from rag_opt.pipeline.spec import SLOTS

_ORDER = (*SLOTS, "index", "objective", "dataset", "sampler")
_WHAT = {
    "chunker": "how documents are cut",
    "embedder": "what turns texts into vectors",
    "query": "what is searched for",
    "retriever": "which lists are fetched, and how they become one",
    "expander": "what a hit returns: its chunk, or a wider span around it",
    "reranker": "what reorders the hits",
    "packer": "what of the hits reaches the context",
    "generator": "what answers from the context",
    "index": "what finds candidates; retrievers choose it",
    "objective": "what a pipeline is scored by",
    "dataset": "what is read",
    "sampler": "who proposes the next pipeline",
}


class Setting(NamedTuple):
    name: str
    default: str
    allowed: str


class Part(NamedTuple):
    slot: str
    kind: str
    help: str
    settings: tuple[Setting, ...]


def parts_command(
    slots: Annotated[list[str] | None, typer.Argument(help=f"Only these: {', '.join(_ORDER)}.")] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print it as it stands in docs/parts.md.")] = False,
    plugins: Annotated[list[str] | None, typer.Option(help="Packages whose parts are listed too.")] = None,
) -> None:
    """List every part with its settings, their defaults and ranges, and a line of help."""
    unknown = [one for one in slots or () if one not in _ORDER]
    wrong = [Problem("slot", f"there is no slot {one!r}{among(one, _ORDER)}") for one in unknown]
    if wrong:
        raise BadInput(wrong)
    found = [part for part in parts(plugins or ["objectives"]) if not slots or part.slot in slots]
    if as_markdown:
        print(markdown(found), end="")
    else:
        _print(found)


def parts(plugins: Sequence[str]) -> list[Part]:
    """Every part that is registered, slot by slot."""
    from rag_opt.setup.builtins import load_built_in

    load_built_in(plugins)
    return [Part(slot, kind, _help(cls), tuple(_settings(cls))) for slot in _ORDER for kind, cls in kinds(slot).items()]


def markdown(found: Sequence[Part]) -> str:
    """A section a slot, a table a part."""
    lines = ["# Parts", "", "Written by `python -m rag_opt.parts --markdown`; a test holds the two together.", ""]
    for slot in _ORDER:
        some = [part for part in found if part.slot == slot]
        if some:
            lines += [f"## {slot}", "", f"{_WHAT[slot][0].upper()}{_WHAT[slot][1:]}.", ""]
        for part in some:
            lines += [f"**{part.kind}** {part.help}", ""]
            if part.settings:
                lines += ["| setting | default | allowed |", "| --- | --- | --- |"]
                lines += [f"| `{s.name}` | {_cell(s.default)} | {_cell(s.allowed)} |" for s in part.settings]
                lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _print(found: Sequence[Part]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for slot in dict.fromkeys(part.slot for part in found):
        console.print(Text(f"{slot}: {_WHAT[slot]}", style="bold"))
        table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
        for column in ("kind", "setting", "default", "allowed"):
            table.add_column(column, overflow="fold")
        for part in (one for one in found if one.slot == slot):
            table.add_row(Text(part.kind, style="bold"), "", "", "")
            for setting in part.settings:
                table.add_row("", *setting)
        console.print(table)
        for part in (one for one in found if one.slot == slot):
            console.print(Text(f"  {part.kind}: ", style="bold") + Text(part.help))
        console.print()


def _help(cls: type) -> str:
    return " ".join((inspect.getdoc(cls) or "").split())


def _settings(cls: type) -> Iterator[Setting]:
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            default = _written(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            default = _written(field.default_factory())
        else:
            default = "must be given"
        yield Setting(field.name, default, allowed(hints[field.name]))


def _written(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def allowed(hint: Any) -> str:
    """A type in words: `8 to 32768`, `float32 | int8`, `null, or a whole number from 2`."""
    if typing.get_origin(hint) is typing.Annotated:
        base, *limits = typing.get_args(hint)
        inner = allowed(base)
        ends = _ends(limits)
        if base in (int, float) and ends:
            return ends if base is float else f"{ends}, whole"
        return f"{inner} {ends}".strip()
    origin = typing.get_origin(hint)
    if origin is Literal:
        return " | ".join(_written(value) for value in typing.get_args(hint))
    if origin in (typing.Union, types.UnionType):
        inside = [one for one in typing.get_args(hint) if one is not type(None)]
        words = " or ".join(allowed(one) for one in inside)
        return f"null, or {words}" if len(inside) < len(typing.get_args(hint)) else words
    names = {int: "a whole number", float: "a number", str: "text", bool: "true | false"}
    if origin in (list, tuple):
        return f"a list of {allowed(typing.get_args(hint)[0])}"
    return names.get(hint) or ("settings" if origin is dict else str(getattr(hint, "__name__", hint)))


def _ends(limits: Sequence[Any]) -> str:
    low = next((f"from {_written(one.ge)}" for one in limits if isinstance(one, Ge)), "")
    low = next((f"above {_written(one.gt)}" for one in limits if isinstance(one, Gt)), low)
    high = next((f"to {_written(one.le)}" for one in limits if isinstance(one, Le)), "")
    high = next((f"below {_written(one.lt)}" for one in limits if isinstance(one, Lt)), high)
    return f"{low} {high}".strip()
