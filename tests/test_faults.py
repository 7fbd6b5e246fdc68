"""A thin case of the faults of `python -m tests.faults` that fit a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_nothing_is_lost_silently_wrong_or_unclear(tmp_path: Path) -> None:
    """In a process of its own: composing a config sets up logging for a whole process."""
    command = [sys.executable, "-m", "tests.faults", "flipped bits", "typing mistakes", "--rounds", "0.1"]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    assert [(row[0], row[1]) for row in rows] == [
        ("| flipped bits in stored values", "200"),
        ("| flipped bits in a study's files", "120"),
        ("| typing mistakes", "10"),
    ], done.stdout + done.stderr
    assert done.returncode == 0 and all(row[2:6] == ["0"] * 4 for row in rows), done.stdout
