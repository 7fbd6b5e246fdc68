"""What an error of SQLite says: that the file is damaged, or that the machine cannot go on."""

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
_SHORT_READ = 522  # SQLITE_IOERR_SHORT_READ: the file ends before its own header says


def is_damage(error: sqlite3.Error, path: Path) -> bool:
    """Return whether an error says that the database file at `path` is not what was written.

    False for locks, full or failing disks, missing permission: the file may be sound. Statements are taken to be right.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return isinstance(error, sqlite3.DatabaseError) and "malformed" in str(error)
    if code == _SHORT_READ:
        return True
    if code & 0xFF == sqlite3.SQLITE_READONLY:  # a file of a version that SQLite will only read: its header says so
        return path.exists() and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return code & 0xFF in _DAMAGE
