"""MLflow's own database, where it is a SQLite file: made whole or not at all."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

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
        for file in _files(path):
            file.replace(file.with_name(f"{file.name}.half-made-{time.time_ns()}"))
        aside = path.with_name(f".{path.name}.aside")
        for file in _files(aside):  # of a killed process
            file.unlink()
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
        return path.stat().st_size == 0  # not ours to judge: MLflow says what is wrong with it
    if runs:
        return False
    try:
        _migrate(path)
    except Exception:  # whatever a migration stumbles over
        return True
    return False


def _migrate(path: Path) -> None:
    """Make or update all tables, as `mlflow db upgrade` does."""
    from mlflow.db import upgrade

    upgrade.callback(f"{_SQLITE}{path.as_posix()}")


def _files(path: Path) -> Iterator[Path]:
    for name in (path.name, f"{path.name}-journal", f"{path.name}-wal", f"{path.name}-shm"):
        if path.with_name(name).exists():
            yield path.with_name(name)
