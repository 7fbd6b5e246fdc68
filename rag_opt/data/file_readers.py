"""Readers of files: the slot `reader`, and what reads many files by one of them, each only once.

The parts are in `rag_opt.parts.readers` and in plug-ins.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rag_opt.core import strict
from rag_opt.core.digests import file_digest, item_key, versions
from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.core.registry import declare_slot
from rag_opt.core.source_digest import source_digest
from rag_opt.data.formats import Format, formats_by_suffix
from rag_opt.data.reading_processes import Limits, Request, read_in_processes
from rag_opt.store.values import Values

_TABLE = "readings"
_AT_ONCE = 256  # files of which the readings are in memory together
_PAGES_A_TIME = 100


class Reader(Format, Protocol):
    """A way to make files into text. Files of other endings than its `suffixes` are read as their format is by us."""


declare_slot("reader", "how files become text", Reader)


def _no_announcement(text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class FileReader:
    """Reads files by a reader, each once: what was read is stored.

    `reader`: None reads every file as its format says. `values`: opens where readings are kept, when one is needed.
    `announce`: told how far it is, every 100 pages.
    """

    reader: Reader | None = None
    values: Callable[[], Values] | None = None
    announce: Callable[[str], None] = _no_announcement
    limits: Limits = field(default_factory=Limits)
    encoding: str | None = None

    def suffixes(self) -> dict[str, Format]:
        """Return by ending what reads its files."""
        by_reader = dict.fromkeys(self.reader.suffixes, self.reader) if self.reader is not None else {}
        return {**formats_by_suffix(), **by_reader}

    def read_all(self, paths: Iterable[Path], *, otherwise: Format | None = None) -> Iterator[Reading | Unreadable]:
        """Yield for each file, in their order, its reading or why there is none.

        `otherwise`: what reads files whose ending nobody knows.
        """
        parts, progress = self.suffixes(), _Progress(self.announce)
        remaining = iter(paths)
        while block := list(itertools.islice(remaining, _AT_ONCE)):
            requests = []
            for path in block:
                part = parts.get(path.suffix.lower(), otherwise)
                if part is None:
                    raise RuntimeError(f"nothing reads {path}")
                requests.append(Request(path, part, self.encoding))
            yield from self._read_block(requests, progress)

    def _read_block(self, requests: Sequence[Request], progress: _Progress) -> Iterator[Reading | Unreadable]:
        isolated = [request for request in requests if request.part.isolated]
        if not isolated:
            yield from map(_read_here, requests)
            return
        keys = [_key(request) for request in isolated]
        values = self.values() if self.values is not None else None
        stored = values.get(_TABLE, [key for key in keys if key is not None]) if values is not None else {}
        missing = [request for request, key in zip(isolated, keys, strict=True) if key not in stored]
        new = read_in_processes(missing, self.limits)
        known = iter(zip(isolated, keys, strict=True))
        for request in requests:
            if not request.part.isolated:
                yield _read_here(request)
                continue
            _, key = next(known)
            if key is not None and key in stored:
                yield Reading.from_bytes(stored[key])
                continue
            reading = next(new)
            progress.count(reading)
            if values is not None and key is not None and isinstance(reading, Reading):
                values.put(_TABLE, {key: reading.to_bytes()})
            yield reading


def _read_here(request: Request) -> Reading | Unreadable:
    try:
        return request.part.read(request.path, encoding=request.encoding)
    except Unreadable as error:
        return error


def _key(request: Request) -> bytes | None:
    """Return the key of a reading: the file's bytes and everything that makes text of them; None where it is gone."""
    part = request.part
    try:
        content = file_digest(request.path)
    except OSError:
        return None
    facts = [part.slot, part.kind, strict.dump(part), source_digest(type(part).__module__), versions(*part.libraries)]
    return item_key("reading", [content, request.path.suffix.lower(), request.encoding, *facts])


class _Progress:
    """Says how many pages were read, every hundred."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self._pages = self._files = self._said = 0

    def count(self, reading: Reading | Unreadable) -> None:
        """Count a file."""
        self._files += 1
        self._pages += max(reading.page_count, 1) if isinstance(reading, Reading) else 1
        if self._pages // _PAGES_A_TIME > self._said:
            self._said = self._pages // _PAGES_A_TIME
            self._announce(f"read {self._pages:,} pages of {self._files:,} files …")
