"""The command `store`: what the store holds, whether it is sound, and how to make room."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Annotated

import typer

from rag_opt.cli.doors import new_app
from rag_opt.core.errors import BadStore
from rag_opt.store import upkeep

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


app = new_app("List what the store holds, verify that it is sound, or make room.")
StoreFolder = Annotated[Path, typer.Option("--store", help="The store's folder.")]
_STORE = Path("outputs/store")


@app.callback(invoke_without_command=True)
def store_command(context: typer.Context, store: StoreFolder = _STORE) -> None:
    """List what the store holds, verify that it is sound, or make room."""
    context.obj = store
    if context.invoked_subcommand is None:
        list_command(context)


@app.command("list")
def list_command(context: typer.Context, store: StoreFolder | None = None) -> None:
    """List entries and sizes by stage (the default)."""
    _list(_folder(context, store))


@app.command("verify")
def verify_command(context: typer.Context, store: StoreFolder | None = None) -> None:
    """Check every checksum; what is damaged is set aside and will be made again."""
    raise typer.Exit(_verify(_folder(context, store)))


@app.command("evict")
def evict_command(
    context: typer.Context,
    to: Annotated[str, typer.Option(help="The size to keep, as 500MB or 2GB.")],
    store: StoreFolder | None = None,
) -> None:
    """Remove what was used longest ago."""
    root = _folder(context, store)
    before, limit = upkeep.total_bytes(root), read_bytes(to)
    for line in upkeep.evict(root, to_bytes=limit):
        print(line)
    print(f"{_mb(before)} -> {_mb(upkeep.total_bytes(root))}")


@app.command("forget")
def forget_command(
    context: typer.Context,
    study: Annotated[Path | None, typer.Option(help="A study's folder, deleted with its runs and traces.")] = None,
    document: Annotated[str | None, typer.Option(help="Name of a document whose text is to be nowhere.")] = None,
    store: StoreFolder | None = None,
) -> None:
    """Delete a study for good, or everything stored that may hold the text of a document."""
    from rag_opt.cli.forgetting import forget_document, forget_study

    if (study is None) == (document is None):
        raise BadStore("forget: give either --study or --document")
    if study is not None:
        done = forget_study(study)
    else:
        root = _folder(context, store)
        done = forget_document(str(document), store=root, outputs=root.parent)
    for line in done:
        print(line)


def _folder(context: typer.Context, given: Path | None) -> Path:
    """Return the store's folder: given behind the command, or before it."""
    root: Path = given or context.obj
    if not root.is_dir():
        raise BadStore(f"--store: there is no folder {root}")
    return root


def _verify(root: Path) -> int:
    found = list(upkeep.verify(root))
    for line in found:
        print(line)
    print(f"{len(found)} problems in {len(upkeep.list_artifacts(root)):,} artifacts and the values beside them")
    return 1 if found else 0


def _list(root: Path) -> None:
    stages: dict[str, list[upkeep.Entry]] = {}
    for entry in upkeep.list_artifacts(root):
        stages.setdefault(entry.stage, []).append(entry)
    print(f"{'what':<20}{'entries':>10}{'size':>12}{'took':>10}   last used")
    for stage, entries in sorted(stages.items()):
        took = f"{sum(entry.seconds for entry in entries):,.0f} s"
        _print(stage, len(entries), sum(entry.bytes for entry in entries), took, max(entry.used for entry in entries))
    for table in upkeep.list_tables(root):
        _print(f"values/{table.key}", table.count, table.bytes, "", table.used)
    print(f"{'together':<20}{'':>10}{_mb(upkeep.total_bytes(root)):>12}")


def _print(what: str, count: int, size: int, took: str, used: float) -> None:
    day = dt.datetime.fromtimestamp(used).astimezone().strftime("%Y-%m-%d %H:%M")
    print(f"{what:<20}{count:>10,}{_mb(size):>12}{took:>10}   {day}")


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def read_bytes(written: str) -> int:
    """Bytes of "500MB" or "2 GB". Raises BadStore."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B?)\s*", written.upper())
    unit = found[2] if found and found[2] in _UNITS else (f"{found[2]}B" if found else "")
    if not found or unit not in _UNITS:
        raise BadStore(f"--to: {written!r} is no size; write it as 500MB or 2GB")
    return int(float(found[1]) * _UNITS[unit])
