"""Many small values by key: vectors per text; candidate lists, answers and scores per question.

Values of one kind stand in one table; on disk a table is one SQLite file.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from rag_opt.core.digests import checksum
from rag_opt.core.forking import ThreadLock

Compute = Callable[[list[int]], Sequence[bytes]]
_CHECKSUM_BYTES = 8
_KEYS_PER_QUERY = 500


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


def _fill(values: Values, table: str, keys: Sequence[bytes], compute: Compute) -> list[bytes]:
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

    It keeps at most `capacity` values of `capacity_bytes` bytes together; the oldest go first.
    """

    def __init__(self, capacity: int = 100_000, capacity_bytes: int = 512_000_000) -> None:
        super().__init__()
        self._values: dict[tuple[str, bytes], bytes] = {}
        self._capacity, self._capacity_bytes, self._bytes = capacity, capacity_bytes, 0

    def get(self, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that have one."""
        with self._lock:
            return {key: self._values[table, key] for key in keys if (table, key) in self._values}

    def find_known(self, table: str, keys: Sequence[bytes]) -> set[bytes]:
        """Return those keys that have a value."""
        return {key for key in keys if (table, key) in self._values}

    def put(self, table: str, values: Mapping[bytes, bytes]) -> None:
        """Store values; the oldest make room."""
        with self._lock:
            for key, value in values.items():
                self._bytes += len(value) - len(self._values.get((table, key), b""))
                self._values[table, key] = value
            # dicts keep order: the oldest goes first
            while len(self._values) > self._capacity or self._bytes > self._capacity_bytes:
                self._bytes -= len(self._values.pop(next(iter(self._values))))

    def fill(self, table: str, keys: Sequence[bytes], compute: Compute) -> list[bytes]:
        """Return one value per key, computing and storing those that are missing."""
        return _fill(self, table, keys, compute)


class SqliteValues(_Counts):
    """Values on disk, one SQLite file per table. A value that does not match its checksum counts as missing.

    `set_aside`: the folder for files that are no sound database; `damaged` counts these and damaged values.
    SQLite in WAL mode loses nothing that was committed when a process is killed, and serves several
    processes at once. A forked process opens its own connections: those of SQLite must not even be closed after a fork.
    """

    def __init__(self, folder: Path, *, set_aside: Path) -> None:
        super().__init__()
        self._folder = folder
        self._set_aside = set_aside
        self._connections: dict[tuple[int, str], sqlite3.Connection] = {}  # by process id and table
        self.damaged = 0

    def close(self) -> None:
        """Close every file that this process opened."""
        with self._lock:
            for process, table in list(self._connections):
                if process == os.getpid():
                    self._connections.pop((process, table)).close()

    def get(self, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that have a sound one."""
        with self._lock:
            try:
                return self._get(self._open(table), keys)
            except sqlite3.DatabaseError as error:
                self._refuse_or_set_aside(table, error)
                return {}

    def _get(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        values: dict[bytes, bytes] = {}
        for key, value in _rows(connection, "key, value", keys):
            if is_sound(value):
                values[key] = value[_CHECKSUM_BYTES:]
            else:
                self.damaged += 1
        return values

    def find_known(self, table: str, keys: Sequence[bytes]) -> set[bytes]:
        """Return those keys that have a value."""
        with self._lock:
            try:
                return {key for (key,) in _rows(self._open(table), "key", keys)}
            except sqlite3.DatabaseError as error:
                self._refuse_or_set_aside(table, error)
                return set()

    def put(self, table: str, values: Mapping[bytes, bytes]) -> None:
        """Store values; one that is there already is replaced."""
        rows = [(key, checksum(value) + value) for key, value in values.items()]
        with self._lock, self._open(table) as connection:
            connection.executemany("INSERT OR REPLACE INTO entry (key, value) VALUES (?, ?)", rows)

    def fill(self, table: str, keys: Sequence[bytes], compute: Compute) -> list[bytes]:
        """Return one value per key, computing and storing those that are missing."""
        return _fill(self, table, keys, compute)

    def _open(self, table: str) -> sqlite3.Connection:
        key = os.getpid(), table
        if key not in self._connections:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{table}.sqlite"
            try:
                self._connections[key] = _connect(path)
            except sqlite3.DatabaseError as error:
                self._refuse_or_set_aside(table, error)
                self._connections[key] = _connect(path)
        return self._connections[key]

    def _refuse_or_set_aside(self, table: str, error: sqlite3.DatabaseError) -> None:
        """Move a file that is no sound database away; raise what is no damage, as a lock or a full disk."""
        if isinstance(error, sqlite3.OperationalError):
            raise error
        connection = self._connections.pop((os.getpid(), table), None)
        if connection is not None:
            connection.close()
        self._set_aside.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob(f"{table}.sqlite*"):
            path.replace(self._set_aside / f"{time.time_ns()}-{path.name}")
        self.damaged += 1


def is_sound(value: bytes) -> bool:
    """Return whether a stored value matches the checksum before it."""
    return checksum(value[_CHECKSUM_BYTES:]) == value[:_CHECKSUM_BYTES]


def _rows(connection: sqlite3.Connection, columns: str, keys: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    unique = list(dict.fromkeys(keys))
    for start in range(0, len(unique), _KEYS_PER_QUERY):
        batch = unique[start : start + _KEYS_PER_QUERY]
        marks = ",".join("?" * len(batch))
        yield from connection.execute(f"SELECT {columns} FROM entry WHERE key IN ({marks})", batch)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
    connection.text_factory = bytes  # whatever damage made of a value, it is compared as bytes
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("CREATE TABLE IF NOT EXISTS entry (key BLOB PRIMARY KEY, value BLOB NOT NULL)")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection
