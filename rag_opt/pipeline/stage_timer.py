"""Work done and seconds spent by stage, by the names of a plan."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping

Spent = dict[str, tuple[float, float]]  # stage -> (work, seconds)


class StageTimer:
    """Adds up work and seconds by stage. Several threads may add; blocks are timed in one thread at a time."""

    def __init__(self) -> None:
        self.spent: Spent = {}
        self._lock = threading.Lock()

    def add(self, stage: str, work: float, seconds: float) -> None:
        """Add what a stage did."""
        with self._lock:
            before = self.spent.get(stage, (0.0, 0.0))
            self.spent[stage] = (before[0] + work, before[1] + seconds)

    @property
    def seconds(self) -> float:
        """Seconds of all stages."""
        return sum(seconds for _, seconds in self.spent.values())

    @contextlib.contextmanager
    def timed(self, stage: str, work: float) -> Iterator[None]:
        """Add what the block takes, less what stages inside it add themselves."""
        started, before = time.perf_counter(), self.seconds
        yield
        self.add(stage, work, time.perf_counter() - started - (self.seconds - before))

    def since(self, before: Mapping[str, tuple[float, float]]) -> Spent:
        """Return what was added after `before` was copied from `spent`."""
        grown = {
            stage: (work - before.get(stage, (0, 0))[0], seconds - before.get(stage, (0, 0))[1])
            for stage, (work, seconds) in self.spent.items()
        }
        return {stage: pair for stage, pair in grown.items() if pair[0] > 0}
