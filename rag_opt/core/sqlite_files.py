"""Files of SQLite databases: which they are, and whether an error says that they are damaged."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_SCHEMA,
        sqlite3.SQLITE_TOOBIG,  # a length in the file that nothing was ever written with
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_CONSTRAINT,  # index and rows contradict each other
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_INTERNAL,
        sqlite3.SQLITE_ERROR,  # no such table, malformed schema: our statements are right
    }
)
_WORDS_OF_DAMAGE = ("malformed", "Could not decode to UTF-8")  # of errors that Python raises without a code
_SHORT_READ = 522  # SQLITE_IOERR_SHORT_READ: the file ends before its own header says


def is_damage(error: sqlite3.Error, path: Path) -> bool:
    """Return whether an error says that the database file at `path` is not what was written.

    False for locks, full or failing disks, missing permission: the file may be sound. Statements are taken to be right.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return isinstance(error, sqlite3.DatabaseError) and any(word in str(error) for word in _WORDS_OF_DAMAGE)
    if code == _SHORT_READ:
        return True
    if code & 0xFF == sqlite3.SQLITE_READONLY:  # a file of a version that SQLite will only read: its header says so
        return path.exists() and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return code & 0xFF in _DAMAGE


def database_files(path: Path) -> list[Path]:
    """Return the files of a database that are there: itself, its journals, the index of its write-ahead log."""
    return [file for end in ("", "-wal", "-shm", "-journal") if (file := path.with_name(f"{path.name}{end}")).exists()]


def move_database(path: Path, aside: Path) -> None:
    """Rename a database with all its files, which lie beside it there too."""
    for file in database_files(path):
        file.replace(aside.with_name(aside.name + file.name.removeprefix(path.name)))
