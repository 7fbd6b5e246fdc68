"""The file of what a study spent on language models: a row per request, and one per run, each with a checksum."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from rag_opt.core.digests import canonical_json, checksum
from rag_opt.core.errors import BadStudy
from rag_opt.core.sqlite_files import is_damage

Cell = str | float | int | bytes

# by table: its columns beside id and checksum
_COLUMNS = {
    "call": ("at", "who", "model", "state", "input_tokens", "output_tokens", "usd"),
    "run": ("at", "seconds"),
}
_SUMS = "SELECT who, COUNT(*), SUM(input_tokens), SUM(output_tokens), SUM(usd) FROM call GROUP BY who"


class SpendingFile:
    """What was spent, in SQLite. What it says is what was written, or it is refused.

    A forked process goes on in the same file by a connection of its own.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, and begin a run in it. Raises BadStudy where it does not say any more what was spent."""
        self._path = path
        # by process: SQLite's connections must not be used, nor closed, after a fork
        self._connections: dict[int, sqlite3.Connection] = {}
        self._refuse_damaged()
        script = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        for table, columns in _COLUMNS.items():
            script += (
                f"CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY, {', '.join(columns)}, checksum BLOB);"
            )
        self._connection.executescript(script)
        self.earlier_s = float(self._read("SELECT COALESCE(SUM(seconds), 0.0) FROM run")[0][0])
        self._began = time.time()
        self._run = self._write("run", None, [self._began, 0.0])

    @property
    def _connection(self) -> sqlite3.Connection:
        process = os.getpid()
        if process not in self._connections:
            self._connections[process] = sqlite3.connect(
                self._path, timeout=60, check_same_thread=False, isolation_level=None
            )
        return self._connections[process]

    def _read(self, statement: str, values: Sequence[Cell] = ()) -> list[tuple[Cell, ...]]:
        return self._connection.execute(statement, values).fetchall()

    def _write(self, table: str, number: int | None, row: Sequence[Cell]) -> int:
        """Write a row under its number, None for the next one, and return the number."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")  # another process may write at the same time
        try:
            if number is None:
                ((number,),) = connection.execute(f"SELECT COALESCE(MAX(id), 0) + 1 FROM {table}")
            content = [number, *row, _checksum(table, number, row)]
            connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(content))})", content)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        return number

    def sums(self) -> dict[str, tuple[int, int, int, float]]:
        """Return by who asked: calls, tokens read, tokens written, dollars."""
        return {str(who): (int(n), int(read), int(wrote), float(usd)) for who, n, read, wrote, usd in self._read(_SUMS)}

    def book(self, who: str, model: str) -> int:
        """Write a request that is about to be sent, and return its number."""
        return self._write("call", None, [time.time(), who, model, "sent", 0, 0, 0.0])

    def settle(self, number: int, state: str, input_tokens: int, output_tokens: int, usd: float) -> None:
        """Write how a request ended, and what it cost."""
        ((at, who, model),) = self._read("SELECT at, who, model FROM call WHERE id = ?", [number])
        self._write("call", number, [at, who, model, state, input_tokens, output_tokens, usd])

    def tick(self, seconds: float) -> None:
        """Write how long this run has taken."""
        self._write("run", self._run, [self._began, seconds])

    def close(self) -> None:
        """Close this process's connection."""
        connection = self._connections.pop(os.getpid(), None)
        if connection is not None:
            connection.close()

    def _refuse_damaged(self) -> None:
        try:
            ((said,),) = self._read("PRAGMA integrity_check(1)")
            wrong = self._find_wrong_row() if said == "ok" else str(said)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error, self._path):
                raise
            wrong = str(error)
        if wrong:
            self.close()
            raise BadStudy(
                f"{self._path} is damaged ({wrong}): what was spent is not known. Put a copy in its place, or move it "
                "away to count from nothing"
            )

    def _find_wrong_row(self) -> str:
        """Return what is not as it was written, in words; empty where all is."""
        there = {name for (name,) in self._read("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if there and there != set(_COLUMNS):
            return "it has other tables"
        for table in _COLUMNS if there else ():
            rows = self._read(f"SELECT id, {', '.join(_COLUMNS[table])}, checksum FROM {table} ORDER BY id")
            for place, (number, *row, written) in enumerate(rows, start=1):
                if number != place or written != _checksum(table, place, row):
                    return f"row {place} of the table {table!r} does not match its checksum"
        return ""


def _checksum(table: str, number: int, row: Sequence[Cell]) -> bytes:
    """Return a checksum over a row with its table and number."""
    return checksum(canonical_json([table, number, *row]))
