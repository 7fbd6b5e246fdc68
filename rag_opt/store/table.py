"""A table of values on disk: one SQLite file that notices its own damage and mends itself."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import filelock

from rag_opt.core.digests import checksum
from rag_opt.core.sqlite_files import database_files, is_damage, move_database

T = TypeVar("T")
_CHECKSUM_BYTES = 8
_KEYS_PER_QUERY = 500
_ROWS_AT_ONCE = 10_000
_CREATE = "CREATE TABLE IF NOT EXISTS entry (key BLOB PRIMARY KEY, value BLOB NOT NULL)"


class Table:
    """Values by key in one SQLite file.

    Every value carries a checksum over its key and itself: a flipped bit in SQLite's index makes a key find the row of
    another one. Where a value does not match, or SQLite itself finds damage, the file is set aside, all sound values go
    on in a new one, and `report` is told in words.
    SQLite in WAL mode loses nothing that was committed when a process is killed, and serves several processes at once.
    """

    def __init__(self, path: Path, *, set_aside: Path, report: Callable[[str], None]) -> None:
        self._path, self._set_aside, self._report = path, set_aside, report
        self._connection: sqlite3.Connection | None = None
        self._opened = 0  # inode of the file that is open: another process may have mended it

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that have a sound one."""

        def read(connection: sqlite3.Connection) -> tuple[dict[bytes, bytes], int]:
            rows = [(key, unseal(key, sealed)) for key, sealed in _select(connection, "key, value", keys)]
            sound = {key: value for key, value in rows if value is not None}
            return sound, len(rows) - len(sound)

        values, damaged = self._try(read)
        if damaged:
            self._mend(f"{damaged} of {len(values) + damaged} values that were read do not match their checksum")
            values, _ = self._try(read)
        return values

    def find_known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return those keys that have a value, sound or not."""
        return self._try(lambda connection: {key for (key,) in _select(connection, "key", keys)})

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Store values; one that is there already is replaced."""
        rows = [(key, seal(key, value)) for key, value in values.items()]

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany("INSERT OR REPLACE INTO entry (key, value) VALUES (?, ?)", rows)

        self._try(write)

    def verify(self) -> None:
        """Read everything; where something is damaged, the file is mended and that is reported."""

        def read(connection: sqlite3.Connection) -> str:
            damaged = sum(unseal(key, sealed) is None for key, sealed in read_rows(connection))
            if damaged:
                return f"{damaged} values do not match their checksum"
            ((said,),) = connection.execute("PRAGMA integrity_check(1)")
            words = said.decode(errors="replace")
            return "" if words == "ok" else words

        damage = self._try(read)
        if damage:
            self._mend(damage)

    def _try(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `work` returns; where the file turns out to be damaged, it is mended first."""
        try:
            return work(self._open())
        except sqlite3.Error as error:
            if not is_damage(error, self._path):
                raise
            self._mend(str(error))
        return work(self._open())

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._opened = self._path.stat().st_ino if self._path.exists() else 0
            self._connection = connect(self._path)
            self._opened = self._path.stat().st_ino
        return self._connection

    def _mend(self, damage: str) -> None:
        """Keep the sound values in a new file, and set the damaged one aside."""
        self.close()
        with filelock.FileLock(self._path.with_name(f".{self._path.name}.mending")):
            if self._opened and self._path.exists() and self._path.stat().st_ino != self._opened:
                return  # another process has mended it
            mended = self._path.with_name(f".{self._path.name}.mended")
            for left in database_files(mended):  # by a killed process
                left.unlink()
            kept = _salvage(self._path, mended)
            self._set_aside.mkdir(parents=True, exist_ok=True)
            aside = self._set_aside / f"{time.time_ns()}-{self._path.name}"
            move_database(self._path, aside)
            mended.replace(self._path)
        self._report(
            f"{self._path} was damaged ({damage}); {kept:,} sound values were kept, what is missing is computed again, "
            f"and the file was set aside as {aside}"
        )


def seal(key: bytes, value: bytes) -> bytes:
    """Return a value as it is stored: after a checksum over its key and itself."""
    return _checksum(key, value) + value


def unseal(key: object, sealed: object) -> bytes | None:
    """Return the value that was stored under a key, or None where key or value are not what they were."""
    if not isinstance(key, bytes) or not isinstance(sealed, bytes):  # SQLite takes a value's type from the row
        return None
    value = sealed[_CHECKSUM_BYTES:]
    return value if _checksum(key, value) == sealed[:_CHECKSUM_BYTES] else None


def _checksum(key: bytes, value: bytes) -> bytes:
    return checksum(len(key).to_bytes(4, "little") + key + value)


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection to a table's file, which is made where it is missing."""
    connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
    connection.text_factory = bytes  # whatever damage made of a value, it is compared as bytes
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(_CREATE)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def read_rows(connection: sqlite3.Connection, order: str = "ASC") -> Iterator[tuple[object, object]]:
    """Yield all rows of a table, the oldest first, or last with `order` DESC."""
    yield from connection.execute(f"SELECT key, value FROM entry NOT INDEXED ORDER BY rowid {order}")


def _select(connection: sqlite3.Connection, columns: str, keys: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    unique = list(dict.fromkeys(keys))
    for start in range(0, len(unique), _KEYS_PER_QUERY):
        batch = unique[start : start + _KEYS_PER_QUERY]
        marks = ",".join("?" * len(batch))
        yield from connection.execute(f"SELECT {columns} FROM entry WHERE key IN ({marks})", batch)


def _salvage(damaged: Path, mended: Path) -> int:
    """Copy the sound values of a damaged file into a new one, and return how many.

    Where the file cannot be read on, it is read from its other end too.
    """
    kept = 0
    with contextlib.closing(sqlite3.connect(mended)) as target:
        target.execute(_CREATE)
        for order in ("ASC", "DESC"):
            try:
                with contextlib.closing(sqlite3.connect(damaged, timeout=60)) as source:
                    source.text_factory = bytes
                    rows = read_rows(source, order)
                    while batch := list(itertools.islice(rows, _ROWS_AT_ONCE)):
                        sound = [(key, sealed) for key, sealed in batch if unseal(key, sealed) is not None]
                        with target:
                            before = target.total_changes
                            target.executemany("INSERT OR IGNORE INTO entry (key, value) VALUES (?, ?)", sound)
                            kept += target.total_changes - before
                break
            except sqlite3.Error as error:
                if not is_damage(error, damaged):
                    raise
    return kept
