"""Faults of the machine: no room, no memory, a disk that fails. They say nothing about the pipeline that met them."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from rag_opt.core.errors import MachineFault, RagOptError

Kind = Literal["room", "memory", "disk", "read-only", "files", "locked"]

_WORDS: dict[Kind, str] = {
    "room": "no room is left",
    "memory": "memory does not suffice",
    "disk": "the disk reports an error",
    "read-only": "nothing can be written there",
    "files": "too many files are open",
    "locked": "another program holds a database",
}
_REMEDIES: dict[Kind, str] = {
    "room": "make room (`python -m rag_opt.store evict` removes what is made again)",
    "memory": (
        "end other programs, or set device=cpu; where that is not enough, leave out large models "
        "(embedder.max_parameters=…, in millions) or long chunks, under another study.name"
    ),
    "disk": "check the disk, or put outputs= on another one",
    "read-only": "make the folder writable, or give another one by outputs=",
    "files": "raise the limit (`ulimit -n`)",
    "locked": "end that program, or wait for it",
}
_ERRNO: dict[int, Kind] = {
    errno.ENOSPC: "room",
    errno.EDQUOT: "room",
    errno.EFBIG: "room",
    errno.ENOMEM: "memory",
    errno.EIO: "disk",
    errno.EROFS: "read-only",
    errno.EMFILE: "files",
    errno.ENFILE: "files",
}
_SQLITE: dict[int, Kind] = {
    sqlite3.SQLITE_FULL: "room",
    sqlite3.SQLITE_NOMEM: "memory",
    sqlite3.SQLITE_IOERR: "disk",
    sqlite3.SQLITE_CANTOPEN: "disk",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_PERM: "read-only",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
}
_LINE = "\n"
_FULL_BYTES = 4_000_000  # less is no room: a database needs as much for one index
# what libraries of other languages (Arrow, Chroma, torch, OpenVINO) pass on as text alone
_TEXTS: list[tuple[re.Pattern[str], Kind]] = [
    (re.compile(r"no space left on device|database or disk is full|disk quota exceeded|os error 28\b", re.I), "room"),
    (re.compile(r"out of memory|can(no|')t allocate memory|not enough memory|bad_alloc|os error 12\b", re.I), "memory"),
    (re.compile(r"read-only file system|readonly database|os error 30\b", re.I), "read-only"),
    (re.compile(r"input/output error|disk i/o error|os error 5\b|failed to apply logs to the hnsw", re.I), "disk"),
    (re.compile(r"too many open files|os error 24\b", re.I), "files"),
]


def find_fault(error: BaseException, places: Iterable[Path] = ()) -> Kind | None:
    """Return the fault of the machine that an error, or what it came from, tells of; None where it is another error.

    `places`: folders that are written to. Where one of them is full, an error that says nothing of it is laid to that:
    Chroma does not say why it could not write.
    """
    for one in find_causes(error):
        if isinstance(one, RagOptError):  # it says itself what is wrong; its words may be a server's
            continue
        kind = _classify(one)
        if kind is not None:
            return kind
    return "room" if not isinstance(error, RagOptError) and any(map(_is_full, places)) else None


def _is_full(place: Path) -> bool:
    there = _find_existing(place)
    return there is not None and shutil.disk_usage(there).free < _FULL_BYTES


def _find_existing(place: Path) -> Path | None:
    return next((folder for folder in (place, *place.parents) if folder.exists()), None)


def tells_of_fault(text: str) -> bool:
    """Return whether the text of an error, as it was kept, tells of a fault of the machine."""
    return any(words.search(text) for words, _ in _TEXTS)


def explain_fault(error: BaseException, places: Sequence[Path] = (), *, needs: str = "") -> RagOptError | None:
    """Return the error that a person is told: itself where it is ours, None where the machine is not at fault either.

    `places`: folders that are written to, whose free room is told (this folder and that of temporary files where none
    is given). `needs`: how much room is needed, in words.
    """
    if isinstance(error, RagOptError):
        return error
    kind = find_fault(error, places)
    if kind is None:
        return None
    file = next((one.filename for one in find_causes(error) if isinstance(one, OSError) and one.filename), None)
    said = next((str(one) for one in find_causes(error) if _classify(one) is not None), str(error)).strip()
    where = f" for {os.fsdecode(file)}" if isinstance(file, (str, bytes)) else ""
    parts = [f"{_WORDS[kind]}{where}: {said.partition(_LINE)[0][:300] or type(error).__name__}"]
    if kind in ("room", "disk", "read-only"):
        there = places or (Path.cwd(), Path(tempfile.gettempdir()))
        parts += [f"free: {'; '.join(_describe_room(there))}"]
        parts += [needs] if needs and kind == "room" else []
    remedy = f"{_REMEDIES[kind]}; nothing that was finished is lost, and the same command goes on from there"
    return MachineFault("\n  ".join([*parts, remedy]), kind=kind)


def _describe_room(places: Iterable[Path]) -> Iterator[str]:
    for place in dict.fromkeys(places):
        if (there := _find_existing(place)) is not None:
            usage = shutil.disk_usage(there)
            yield f"{place} {usage.free / 1e6:,.1f} of {usage.total / 1e6:,.1f} MB"


def _classify(error: BaseException) -> Kind | None:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's is no MemoryError
        return "memory"
    if isinstance(error, OSError) and error.errno in _ERRNO:
        return _ERRNO[error.errno]
    if isinstance(error, sqlite3.Error):
        return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    if isinstance(error, Exception) and not isinstance(error, RagOptError):
        return next((kind for words, kind in _TEXTS if words.search(str(error))), None)
    return None


def find_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it was raised from or while handling, and the members of groups."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        others = (one.__cause__, one.__context__, getattr(one, "orig", None))  # `orig`: SQLAlchemy's
        waiting += [other for other in others if isinstance(other, BaseException)]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
