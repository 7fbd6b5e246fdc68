"""Many small values by key: vectors per text; candidate lists, answers and scores per question.

Values of one kind stand in one table; on disk a table is one SQLite file.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from rag_opt.core.forking import ThreadLock
from rag_opt.store.table import Table

_BYTES_BESIDE = 300  # of a value: its key, its object, its place in the table
Compute = Callable[[list[int]], Sequence[bytes]]


class Values(Protocol):
    """Tables of values, shared by the threads of a process and by a process forked from it.

    `computed` and `reused` count values by table since this was opened; a forked process counts on for itself.
    """

    computed: dict[str, int]
    reused: dict[str, int]

    def count_computed(self, table: str, number: int) -> None:
        """Add to the values of a table that were computed."""
        ...

    def count_reused(self, table: str, number: int) -> None:
        """Add to the values of a table that were there already."""
        ...

    def get(self, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that have one."""
        ...

    def find_known(self, table: str, keys: Sequence[bytes]) -> set[bytes]:
        """Return those keys that have a value, without reading it."""
        ...

    def put(self, table: str, values: Mapping[bytes, bytes]) -> None:
        """Store values; one that is there already is replaced."""
        ...

    def fill(self, table: str, keys: Sequence[bytes], compute: Compute) -> list[bytes]:
        """Return one value per key, computing and storing those that are missing.

        `compute` gets the positions of the first occurrence of each missing key, and returns a value for each.
        """
        ...


def fill_missing(values: Values, table: str, keys: Sequence[bytes], compute: Compute) -> list[bytes]:
    """Return one value per key, computing and storing those that are missing."""
    known = values.get(table, keys)
    missing: dict[bytes, int] = {}
    for position, key in enumerate(keys):
        if key not in known:
            missing.setdefault(key, position)
    values.count_reused(table, len(known))
    if missing:
        computed = dict(zip(missing, compute(list(missing.values())), strict=True))
        values.put(table, computed)
        values.count_computed(table, len(computed))
        known |= computed
    return [known[key] for key in keys]


class _Counts:
    """The counters of a table of values, and the lock of all that its threads share."""

    def __init__(self) -> None:
        self._lock = ThreadLock()
        self.computed: dict[str, int] = {}
        self.reused: dict[str, int] = {}

    def count_computed(self, table: str, number: int) -> None:
        """Add to the values of a table that were computed."""
        with self._lock:
            self.computed[table] = self.computed.get(table, 0) + number

    def count_reused(self, table: str, number: int) -> None:
        """Add to the values of a table that were there already."""
        with self._lock:
            self.reused[table] = self.reused.get(table, 0) + number


class MemoryValues(_Counts):
    """Values in the memory of one process, as a served pipeline uses them.

    It keeps values of at most `capacity_bytes` bytes together, what Python needs beside them included; those that were
    not asked for the longest go first.
    """

    def __init__(self, capacity_bytes: int = 512_000_000) -> None:
        super().__init__()
        self._values: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._capacity_bytes = capacity_bytes
        self.held_bytes = 0

    def get(self, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that have one."""
        found = {}
        with self._lock:
            for key in keys:
                value = self._values.get((table, key))
                if value is not None:
                    found[key] = value
                    self._values.move_to_end((table, key))
        return found

    def find_known(self, table: str, keys: Sequence[bytes]) -> set[bytes]:
        """Return those keys that have a value."""
        return {key for key in keys if (table, key) in self._values}

    def put(self, table: str, values: Mapping[bytes, bytes]) -> None:
        """Store values; those that were not asked for the longest make room."""
        with self._lock:
            for key, value in values.items():
                self._drop((table, key))
                self._values[table, key] = value
                self.held_bytes += len(value) + _BYTES_BESIDE
            while self.held_bytes > self._capacity_bytes and self._values:
                self._drop(next(iter(self._values)))

    def _drop(self, place: tuple[str, bytes]) -> None:
        value = self._values.pop(place, None)
        self.held_bytes -= 0 if value is None else len(value) + _BYTES_BESIDE

    def fill(self, table: str, keys: Sequence[bytes], compute: Compute) -> list[bytes]:
        """Return one value per key, computing and storing those that are missing."""
        return fill_missing(self, table, keys, compute)


class SqliteValues(_Counts):
    """Values on disk, one SQLite file per table. A value that does not match its checksum counts as missing.

    A damaged file is set aside, and its sound values are kept in a new one; `report` is told in words. A forked process
    opens its own connections: those of SQLite must not even be closed after a fork.
    """

    def __init__(self, folder: Path, *, set_aside: Path, report: Callable[[str], None]) -> None:
        super().__init__()
        self._folder, self._set_aside, self._report = folder, set_aside, report
        self._tables: dict[tuple[int, str], Table] = {}  # by process id and name

    def close(self) -> None:
        """Close every file that this process opened."""
        with self._lock:
            for process, name in list(self._tables):
                if process == os.getpid():
                    self._tables.pop((process, name)).close()

    def get(self, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that have a sound one."""
        with self._lock:
            return self._open(table).get(keys)

    def find_known(self, table: str, keys: Sequence[bytes]) -> set[bytes]:
        """Return those keys that have a value, sound or not."""
        with self._lock:
            return self._open(table).find_known(keys)

    def put(self, table: str, values: Mapping[bytes, bytes]) -> None:
        """Store values; one that is there already is replaced."""
        with self._lock:
            self._open(table).put(values)

    def fill(self, table: str, keys: Sequence[bytes], compute: Compute) -> list[bytes]:
        """Return one value per key, computing and storing those that are missing."""
        return fill_missing(self, table, keys, compute)

    def _open(self, name: str) -> Table:
        place = os.getpid(), name
        if place not in self._tables:
            path = self._folder / f"{name}.sqlite"
            self._tables[place] = Table(path, set_aside=self._set_aside, report=self._report)
        return self._tables[place]
