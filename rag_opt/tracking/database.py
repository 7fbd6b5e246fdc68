"""MLflow's own database, where it is a SQLite file: made whole or not at all."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

import filelock

from rag_opt.core.faults import find_fault
from rag_opt.core.sqlite_files import database_files, move_database

_SQLITE = "sqlite:///"


def ensure_database(uri: str) -> bool:
    """Make MLflow's database where there is none, and return whether it was made now.

    MLflow makes its tables by dozens of migrations that are no transaction: killed in between, it can never be opened
    again ("duplicate column name"). So they are made in a file aside, which is renamed when it is whole. A file without
    any run that MLflow cannot bring up to date is what such a kill left: it is set aside.
    """
    if not uri.startswith(_SQLITE):
        return False
    path = Path(uri.removeprefix(_SQLITE).partition("?")[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_name(f".{path.name}.making")):
        if path.exists() and not _is_half_made(path):
            return False
        move_database(path, path.with_name(f"{path.name}.half-made-{time.time_ns()}"))
        aside = path.with_name(f".{path.name}.aside")
        for left in database_files(aside):  # by a killed process
            left.unlink()
        _migrate(aside)
        aside.replace(path)
    return True


def _is_half_made(path: Path) -> bool:
    """Return whether a database without any run cannot be brought up to date."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
            ((runs,),) = connection.execute("SELECT count(*) FROM runs")
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        runs = 0
    except sqlite3.DatabaseError:
        return False  # not ours to judge: MLflow says what is wrong with it
    if runs:
        return False
    try:
        _migrate(path)
    except Exception as error:  # a migration fails with any class; but a full disk does not make it half made
        if find_fault(error) is not None:
            raise
        return True
    return False


def _migrate(path: Path) -> None:
    """Make or update all tables, as `mlflow db upgrade` does."""
    from mlflow.db import upgrade

    upgrade.callback(f"{_SQLITE}{path.as_posix()}")
