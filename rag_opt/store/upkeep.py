"""What lies in a store, whether it is sound, and how to make room."""

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
from rag_opt.store.artifacts import IN_USE, MANIFEST, damage
from rag_opt.store.values import sound

_ASIDE = ("values", "locks", "damaged")
# the order in which values make room: those that are made again soonest first, vectors and what was paid for last
_SHELVES = ("reranked", "candidates", "scores", "answers", "token_vectors", "pair_scores", "vectors", "completions")
_KEPT = ("models", "took")  # small, and what keys and choices of samplers hang on
_LEAST_SHARE = 0.02  # of a shelf's rows that one pass removes
_OLDEST = "SELECT rowid FROM entry ORDER BY rowid LIMIT ?"


@dataclass(frozen=True)
class Entry:
    """One artifact, or one shelf of values. `used`: seconds since 1970; `seconds` to build, NaN: not known."""

    stage: str
    key: str
    path: Path
    bytes: int
    used: float
    seconds: float
    count: int = 1


def artifacts(root: Path) -> list[Entry]:
    """Every artifact, the one that was used longest ago first."""
    found = []
    for manifest in root.glob(f"*/*/{MANIFEST}"):
        folder = manifest.parent
        if folder.parent.name in _ASIDE or folder.name.startswith("."):
            continue
        try:
            facts = orjson.loads(manifest.read_bytes())
            size = sum(int(one["bytes"]) for one in facts["files"].values())
            seconds = float(facts.get("seconds", float("nan")))
        except (ValueError, KeyError, TypeError):
            size, seconds = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()), float("nan")
        found.append(Entry(folder.parent.name, folder.name, folder, size, manifest.stat().st_mtime, seconds))
    return sorted(found, key=lambda entry: entry.used)


def shelves(root: Path) -> list[Entry]:
    """Every shelf of values."""
    found = []
    for path in sorted((root / "values").glob("*.sqlite")):
        size = sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*"))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            try:
                count = int(connection.execute("SELECT count(*) FROM entry").fetchone()[0])
            except sqlite3.DatabaseError:
                continue  # the next search sets it aside
        found.append(Entry("values", path.stem, path, size, path.stat().st_mtime, float("nan"), count))
    return found


def verify(root: Path) -> Iterator[str]:
    """What is damaged, in words. Damaged artifacts are set aside, damaged values removed: both are made again."""
    for entry in artifacts(root):
        wrong = damage(entry.path)
        if wrong:
            aside = root / "damaged" / f"{entry.stage}-{entry.key}-{time.time_ns()}"
            aside.parent.mkdir(exist_ok=True)
            entry.path.replace(aside)
            yield f"{entry.stage}/{entry.key}: {wrong}; set aside as {aside}"
    for folder in root.glob("*/*"):
        if folder.is_dir() and folder.parent.name not in _ASIDE and not (folder / MANIFEST).exists():
            if folder.name.startswith("."):
                continue  # being built
            yield f"{folder.parent.name}/{folder.name}: no {MANIFEST}; it counts as not built"
    for shelf in shelves(root):
        try:
            with contextlib.closing(sqlite3.connect(shelf.path)) as connection:
                bad = [key for key, value in connection.execute("SELECT key, value FROM entry") if not sound(value)]
                with connection:
                    connection.executemany("DELETE FROM entry WHERE key = ?", [(key,) for key in bad])
        except sqlite3.DatabaseError as error:
            yield f"values/{shelf.key}: {error}; the next search sets it aside"
            continue
        if bad:
            yield f"values/{shelf.key}: {len(bad)} of {shelf.count:,} values did not match their checksum; removed"


def evict(root: Path, *, to_bytes: int) -> list[str]:
    """Make the store at most so large; what was removed, in words. Raises BadStore while a process uses it.

    First artifacts, those used longest ago first: they are built again from stored values. Then values, oldest first.
    """
    _refuse_in_use(root)
    said: list[str] = []
    if size(root) > to_bytes:  # what is of no use to anybody
        for useless in (*root.glob("damaged/*"), *root.glob("*/.building-*")):
            shutil.rmtree(useless) if useless.is_dir() else useless.unlink()
    excess = size(root) - to_bytes
    for entry in artifacts(root):
        if excess <= 0:
            return said
        shutil.rmtree(entry.path)
        excess -= entry.bytes
        said.append(f"{entry.stage}/{entry.key}: {entry.bytes / 1e6:.1f} MB")
    known = {shelf.key: shelf for shelf in shelves(root)}
    for name in (*_SHELVES, *sorted(known.keys() - {*_SHELVES, *_KEPT})):
        if name in known:
            said += _thinned(root, known[name], to_bytes)
    return said


def _thinned(root: Path, shelf: Entry, to_bytes: int) -> list[str]:
    """Remove a shelf's oldest rows until the store is small enough or the shelf is empty."""
    left = shelf
    while (excess := size(root) - to_bytes) > 0 and left.count:
        _thin(left, excess)
        left = next(one for one in shelves(root) if one.key == shelf.key)
    gone = shelf.count - left.count
    which = f"all {gone:,}" if not left.count else f"the {gone:,} oldest of {shelf.count:,}"
    return [f"values/{shelf.key}: {which}"] if gone else []


def _thin(shelf: Entry, excess: int) -> None:
    """Remove a shelf's oldest rows, about `excess` bytes of them."""
    share = min(max(excess / max(shelf.bytes, 1), _LEAST_SHARE), 1.0)
    gone = min(math.ceil(shelf.count * share), shelf.count)
    with contextlib.closing(sqlite3.connect(shelf.path)) as connection:
        with connection:
            connection.execute(f"DELETE FROM entry WHERE rowid IN ({_OLDEST})", [gone])
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def size(root: Path) -> int:
    """Bytes of everything under it."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def _refuse_in_use(root: Path) -> None:
    for path in (root / "locks" / IN_USE).glob("*.lock"):
        lock = filelock.FileLock(path)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise BadStore(f"{root} is in use by process {path.stem.partition('-')[0]}; let it finish first") from None
        lock.release()
        path.unlink(missing_ok=True)
