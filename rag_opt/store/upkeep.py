"""The upkeep of a store: what it holds, whether that is sound, and how to make room."""

from __future__ import annotations

import contextlib
import math
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock
import orjson

from rag_opt.core.errors import BadStore
from rag_opt.store.artifacts import IN_USE, MANIFEST, find_damage
from rag_opt.store.table import Table

_NO_STAGES = ("values", "locks", "damaged")
# the order in which values make room: those that are made again soonest first, vectors and what was paid for last
_EVICTION_ORDER = (
    "reranked",
    "candidates",
    "scores",
    "answers",
    "token_vectors",
    "pair_scores",
    "vectors",
    "completions",
)
_NEVER_EVICTED = ("models", "took")  # small, and what keys and choices of samplers hang on
_MIN_SHARE = 0.02  # of a table's rows that one pass removes
_OLDEST = "SELECT rowid FROM entry ORDER BY rowid LIMIT ?"


@dataclass(frozen=True)
class Entry:
    """One artifact, or one table of values.

    `used`: when it was used last, in seconds since 1970. `seconds`: how long it took to build; NaN: not known.
    `count`: values of a table.
    """

    stage: str
    key: str
    path: Path
    bytes: int
    used: float
    seconds: float
    count: int = 1


def list_artifacts(root: Path) -> list[Entry]:
    """Return every artifact, the one that was used longest ago first."""
    entries = []
    for manifest in root.glob(f"*/*/{MANIFEST}"):
        folder = manifest.parent
        if folder.parent.name in _NO_STAGES or folder.name.startswith("."):
            continue
        try:
            facts = orjson.loads(manifest.read_bytes())
            size = sum(int(file["bytes"]) for file in facts["files"].values())
            seconds = float(facts.get("seconds", float("nan")))
        except (ValueError, KeyError, TypeError):
            size, seconds = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()), float("nan")
        entries.append(Entry(folder.parent.name, folder.name, folder, size, manifest.stat().st_mtime, seconds))
    return sorted(entries, key=lambda entry: entry.used)


def list_tables(root: Path) -> list[Entry]:
    """Return every table of values, in alphabetical order."""
    entries = []
    for path in sorted((root / "values").glob("*.sqlite")):
        size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            try:
                count = int(connection.execute("SELECT count(*) FROM entry").fetchone()[0])
            except sqlite3.DatabaseError:
                continue  # the next search sets it aside
        entries.append(Entry("values", path.stem, path, size, path.stat().st_mtime, float("nan"), count))
    return entries


def verify(root: Path) -> Iterator[str]:
    """Yield what is damaged, in words. What is damaged is set aside, and made again when it is wanted."""
    for entry in list_artifacts(root):
        damage = find_damage(entry.path)
        if damage:
            aside = root / "damaged" / f"{entry.stage}-{entry.key}-{time.time_ns()}"
            aside.parent.mkdir(exist_ok=True)
            entry.path.replace(aside)
            yield f"{entry.stage}/{entry.key}: {damage}; set aside as {aside}"
    for folder in root.glob("*/*"):
        if folder.is_dir() and folder.parent.name not in _NO_STAGES and not (folder / MANIFEST).exists():
            if folder.name.startswith("."):
                continue  # being built
            yield f"{folder.parent.name}/{folder.name}: no {MANIFEST}; it counts as not built"
    for path in sorted((root / "values").glob("*.sqlite")):
        notes: list[str] = []
        table = Table(path, set_aside=root / "damaged", report=notes.append)
        with contextlib.closing(table):
            table.verify()
        yield from notes


def evict(root: Path, *, to_bytes: int) -> list[str]:
    """Make the store at most so large, and return what was removed, in words. Raises BadStore while it is in use.

    First artifacts, those used longest ago first: they are built again from stored values. Then values, oldest first.
    """
    _refuse_in_use(root)
    removed: list[str] = []
    if total_bytes(root) > to_bytes:  # what is of no use to anybody
        for useless in (*root.glob("damaged/*"), *root.glob("*/.building-*")):
            shutil.rmtree(useless) if useless.is_dir() else useless.unlink()
    excess = total_bytes(root) - to_bytes
    for entry in list_artifacts(root):
        if excess <= 0:
            return removed
        shutil.rmtree(entry.path)
        excess -= entry.bytes
        removed.append(f"{entry.stage}/{entry.key}: {entry.bytes / 1e6:.1f} MB")
    tables = {table.key: table for table in list_tables(root)}
    for name in (*_EVICTION_ORDER, *sorted(tables.keys() - {*_EVICTION_ORDER, *_NEVER_EVICTED})):
        if name in tables:
            removed += _evict_rows(root, tables[name], to_bytes)
    return removed


def empty(root: Path) -> int:
    """Remove everything from the store, also what was paid for, and return its bytes. Raises BadStore while in use."""
    _refuse_in_use(root)
    size = total_bytes(root)
    for path in root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return size


def _evict_rows(root: Path, table: Entry, to_bytes: int) -> list[str]:
    """Remove a table's oldest rows until the store is small enough or the table is empty."""
    left = table
    while (excess := total_bytes(root) - to_bytes) > 0 and left.count:
        _remove_oldest(left, excess)
        left = next(entry for entry in list_tables(root) if entry.key == table.key)
    count = table.count - left.count
    which = f"all {count:,}" if not left.count else f"the {count:,} oldest of {table.count:,}"
    return [f"values/{table.key}: {which}"] if count else []


def _remove_oldest(table: Entry, excess: int) -> None:
    """Remove a table's oldest rows, about `excess` bytes of them."""
    share = min(max(excess / max(table.bytes, 1), _MIN_SHARE), 1.0)
    count = min(math.ceil(table.count * share), table.count)
    with contextlib.closing(sqlite3.connect(table.path)) as connection:
        with connection:
            connection.execute(f"DELETE FROM entry WHERE rowid IN ({_OLDEST})", [count])
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def total_bytes(root: Path) -> int:
    """Return the bytes of everything under a folder."""
    total = 0
    for path in root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # others may be at work
            total += path.stat().st_size if path.is_file() else 0
    return total


def _refuse_in_use(root: Path) -> None:
    for path in (root / "locks" / IN_USE).glob("*.lock"):
        lock = filelock.FileLock(path)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            process = path.stem.partition("-")[0]  # number@host
            number = process.partition("@")[0]
            raise BadStore(
                f"{root} is in use by process {process}; let it finish first",
                pid=int(number) if number.isdecimal() else None,
            ) from None
        lock.release()
        path.unlink(missing_ok=True)
