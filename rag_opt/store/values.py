"""Many small values by key: vectors per text; candidate lists, answers and scores per question."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from rag_opt.core.digests import checksum

Compute = Callable[[list[int]], Sequence[bytes]]
_CHECKSUM_BYTES = 8
_KEYS_PER_QUERY = 500


class Values(Protocol):
    """Fills a list of values, computing only those that are not known."""

    computed: dict[str, int]
    reused: dict[str, int]

    def get(self, shelf: str, keys: Sequence[bytes]) -> dict[bytes, bytes]: ...

    def known(self, shelf: str, keys: Sequence[bytes]) -> set[bytes]:
        """Which of the keys have a value, without reading it."""
        ...

    def put(self, shelf: str, values: Mapping[bytes, bytes]) -> None: ...

    def fill(self, shelf: str, keys: Sequence[bytes], compute: Compute) -> list[bytes]:
        """One value per key. `compute` gets the positions of the first occurrence of each missing key."""
        ...


def _fill(values: Values, shelf: str, keys: Sequence[bytes], compute: Compute) -> list[bytes]:
    known = values.get(shelf, keys)
    missing: dict[bytes, int] = {}
    for position, key in enumerate(keys):
        if key not in known:
            missing.setdefault(key, position)
    values.reused[shelf] = values.reused.get(shelf, 0) + len(known)
    if missing:
        made = dict(zip(missing, compute(list(missing.values())), strict=True))
        values.put(shelf, made)
        values.computed[shelf] = values.computed.get(shelf, 0) + len(made)
        known |= made
    return [known[key] for key in keys]


class MemoryValues:
    """Values of one process, forgotten with it: what a served pipeline uses."""

    def __init__(self, capacity: int = 100_000, capacity_bytes: int = 512_000_000) -> None:
        self._values: dict[tuple[str, bytes], bytes] = {}
        self._capacity, self._capacity_bytes, self._bytes = capacity, capacity_bytes, 0
        self.computed: dict[str, int] = {}
        self.reused: dict[str, int] = {}

    def get(self, shelf: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return {key: self._values[shelf, key] for key in keys if (shelf, key) in self._values}

    def known(self, shelf: str, keys: Sequence[bytes]) -> set[bytes]:
        return {key for key in keys if (shelf, key) in self._values}

    def put(self, shelf: str, values: Mapping[bytes, bytes]) -> None:
        for key, value in values.items():
            self._bytes += len(value) - len(self._values.get((shelf, key), b""))
            self._values[shelf, key] = value
        # dicts keep order: the oldest goes first
        while len(self._values) > self._capacity or self._bytes > self._capacity_bytes:
            self._bytes -= len(self._values.pop(next(iter(self._values))))

    def fill(self, shelf: str, keys: Sequence[bytes], compute: Compute) -> list[bytes]:
        return _fill(self, shelf, keys, compute)


class SqliteValues:
    """One SQLite file per shelf. A value that does not match its checksum counts as missing and is rebuilt.

    SQLite in WAL mode loses nothing that was committed when a process is killed, and serves several
    processes at once.
    """

    def __init__(self, folder: Path, *, set_aside: Path) -> None:
        self._folder = folder
        self._set_aside = set_aside
        self._connections: dict[str, sqlite3.Connection] = {}
        self._one_at_a_time = threading.RLock()  # answers of servers arrive in another thread
        self.computed: dict[str, int] = {}
        self.reused: dict[str, int] = {}
        self.damaged = 0

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def get(self, shelf: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        with self._one_at_a_time:
            try:
                return self._get(self._open(shelf), keys)
            except sqlite3.DatabaseError as error:
                self._refuse_or_set_aside(shelf, error)
                return {}

    def _get(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for key, value in _rows(connection, "key, value", keys):
            if sound(value):
                found[key] = value[_CHECKSUM_BYTES:]
            else:
                self.damaged += 1
        return found

    def known(self, shelf: str, keys: Sequence[bytes]) -> set[bytes]:
        with self._one_at_a_time:
            try:
                return {key for (key,) in _rows(self._open(shelf), "key", keys)}
            except sqlite3.DatabaseError as error:
                self._refuse_or_set_aside(shelf, error)
                return set()

    def put(self, shelf: str, values: Mapping[bytes, bytes]) -> None:
        rows = [(key, checksum(value) + value) for key, value in values.items()]
        with self._one_at_a_time, self._open(shelf) as connection:
            connection.executemany("INSERT OR REPLACE INTO entry (key, value) VALUES (?, ?)", rows)

    def fill(self, shelf: str, keys: Sequence[bytes], compute: Compute) -> list[bytes]:
        return _fill(self, shelf, keys, compute)

    def _open(self, shelf: str) -> sqlite3.Connection:
        if shelf not in self._connections:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{shelf}.sqlite"
            try:
                self._connections[shelf] = _connect(path)
            except sqlite3.DatabaseError as error:
                self._refuse_or_set_aside(shelf, error)
                self._connections[shelf] = _connect(path)
        return self._connections[shelf]

    def _refuse_or_set_aside(self, shelf: str, error: sqlite3.DatabaseError) -> None:
        """A file that is no sound database is moved away, to be filled anew; locked or a full disk is not damage."""
        if isinstance(error, sqlite3.OperationalError):
            raise error
        connection = self._connections.pop(shelf, None)
        if connection is not None:
            connection.close()
        self._set_aside.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob(f"{shelf}.sqlite*"):
            path.replace(self._set_aside / f"{time.time_ns()}-{path.name}")
        self.damaged += 1


def sound(value: bytes) -> bool:
    """Whether a stored value matches the checksum before it."""
    return checksum(value[_CHECKSUM_BYTES:]) == value[:_CHECKSUM_BYTES]


def _rows(connection: sqlite3.Connection, columns: str, keys: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    unique = list(dict.fromkeys(keys))
    for start in range(0, len(unique), _KEYS_PER_QUERY):
        part = unique[start : start + _KEYS_PER_QUERY]
        marks = ",".join("?" * len(part))
        yield from connection.execute(f"SELECT {columns} FROM entry WHERE key IN ({marks})", part)


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
