"""A thin case of every fault of `python -m tests.faults` that fits a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.__main__ import FAULTS

ROUNDS = {"flipped bits in stored values": 60, "typing mistakes": 12}


@pytest.mark.parametrize("name", ROUNDS)
def test_nothing_is_lost_silently_wrong_or_unclear(name: str, tmp_path: Path) -> None:
    run, _ = FAULTS[name]
    outcome = run(ROUNDS[name], tmp_path)
    assert outcome.rounds >= min(ROUNDS[name], 1) and outcome.is_clean, outcome.examples
