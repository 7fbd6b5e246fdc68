"""The command `parts`: every part, and every setting of a search, with defaults, ranges and descriptions."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import typer

from rag_opt.cli.setting_tables import Setting, list_settings, settings_table
from rag_opt.cli.settings_reference import settings_markdown
from rag_opt.core.errors import BadInput, Problem, suggest_names
from rag_opt.core.registry import kinds, slots
from rag_opt.pipeline.spec import SLOTS
from rag_opt.setup.builtins import load_built_in


class Part(NamedTuple):
    """One part in words."""

    slot: str
    kind: str
    help: str
    settings: tuple[Setting, ...]


def parts_command(
    slot: Annotated[list[str] | None, typer.Argument(help="Only these slots.")] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print it as it stands in docs/parts.md.")] = False,
    plugins: Annotated[list[str] | None, typer.Option(help="Packages whose parts are listed too.")] = None,
) -> None:
    """List every part with its settings, their defaults and ranges, and what each of them does."""
    found = list_parts(plugins or ["objectives"])
    unknown = [name for name in slot or () if name not in slots()]
    if unknown:
        raise BadInput(
            [Problem("slot", f"there is no slot {name!r}{suggest_names(name, slots())}") for name in unknown]
        )
    shown = [part for part in found if not slot or part.slot in slot]
    if as_markdown:
        print(to_markdown(shown) + ("" if slot else f"\n{settings_markdown()}"), end="")
    else:
        _print(shown)


def list_parts(plugins: Sequence[str]) -> list[Part]:
    """Return every part that is registered, slot by slot. Raises BadInput for a package that is missing."""
    load_built_in(plugins)
    return [
        Part(slot, kind, _help(cls), tuple(list_settings(cls)))
        for slot in _ordered()
        for kind, cls in kinds(slot).items()
    ]


def _ordered() -> list[str]:
    """Return the slots of a pipeline in the order of the work, then all others by name."""
    known = slots()
    return [*(slot for slot in SLOTS if slot in known), *sorted(slot for slot in known if slot not in SLOTS)]


def to_markdown(parts: Sequence[Part]) -> str:
    """Return a section for each slot, with a table for each part."""
    lines = ["# Parts", "", "Written by `python -m rag_opt.parts --markdown`; a test holds the two together.", ""]
    for slot in (slots()[name] for name in _ordered()):
        mine = [part for part in parts if part.slot == slot.name]
        if mine:
            lines += [f"## {slot.name}", "", f"{slot.description[0].upper()}{slot.description[1:]}.", ""]
        for part in mine:
            lines += [f"**{part.kind}** {part.help}", "", *settings_table(part.settings)]
    return "\n".join(lines).rstrip() + "\n"


def _print(parts: Sequence[Part]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)  # a pipe has no width of its own
    for slot in dict.fromkeys(part.slot for part in parts):
        console.print(Text(f"{slot}: {slots()[slot].description}", style="bold"))
        for part in (part for part in parts if part.slot == slot):
            console.print(Padding(Text.assemble((part.kind, "bold"), "  ", part.help), (0, 0, 0, 2)))
            table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
            for setting in part.settings:
                table.add_row(*setting)
            if part.settings:
                console.print(Padding(table, (0, 0, 0, 6)))
        console.print()


def _help(cls: type) -> str:
    suffixes: tuple[str, ...] = getattr(cls, "suffixes", ())  # of formats and readers
    files = f" Files: {' '.join(suffixes)}" if suffixes else ""
    return " ".join((inspect.getdoc(cls) or "").split()) + files
