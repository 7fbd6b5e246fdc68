from __future__ import annotations

import errno
import itertools
import sqlite3
from pathlib import Path

import pytest

from rag_opt.core.errors import MachineFault, RagOptError, ServerFailed
from rag_opt.core.faults import explain_fault, find_fault, tells_of_fault


def raised(*errors: BaseException) -> BaseException:
    """Return the first error, raised from the second, and so on."""
    for error, cause in itertools.pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def of_sqlite(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("said")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "room"),
        (OSError(errno.EDQUOT, "quota"), "room"),
        (raised(RuntimeError("while building"), OSError(errno.EIO, "broken")), "disk"),
        (OSError(errno.EROFS, "read-only"), "read-only"),
        (of_sqlite(sqlite3.SQLITE_FULL), "room"),
        (of_sqlite(sqlite3.SQLITE_IOERR | 3 << 8), "disk"),
        (of_sqlite(sqlite3.SQLITE_BUSY), "locked"),
        (RuntimeError("error returned from database: (code: 13) database or disk is full"), "room"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "memory"),
        (MemoryError(), "memory"),
        (ExceptionGroup("several", [ValueError("x"), OSError(errno.ENOSPC, "full")]), "room"),
        (OSError(errno.ENOENT, "No such file"), None),
        (of_sqlite(sqlite3.SQLITE_CORRUPT), None),
        (ValueError("a pipeline's own"), None),
        (ServerFailed("http://host answered 500: No space left on device"), None),
    ],
)
def test_faults_of_the_machine_are_told_from_those_of_a_pipeline(error: BaseException, kind: str | None) -> None:
    assert find_fault(error) == kind
    explained = explain_fault(error, [Path("/")], needs="needed: 5 MB")
    if kind is None:
        assert explained is (error if isinstance(error, RagOptError) else None), "ours say themselves what is wrong"
    else:
        assert isinstance(explained, MachineFault) and explained.kind == kind
        assert "the same command goes on from there" in str(explained)
        assert ("needed: 5 MB" in str(explained)) == (kind == "room")


def test_an_unspecific_error_beside_a_full_disk_is_laid_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("Error in compaction")
    assert find_fault(error, [Path("/")]) is None
    monkeypatch.setattr("rag_opt.core.faults._FULL_BYTES", 2**62)
    assert find_fault(error, [Path("/nowhere/below")]) == "room"
    assert find_fault(ServerFailed("of a server"), [Path("/")]) is None


def test_what_was_kept_of_an_error_tells_it_too() -> None:
    assert tells_of_fault("OSError: [Errno 28] No space left on device\nTraceback") and not tells_of_fault(
        "ValueError: x"
    )
