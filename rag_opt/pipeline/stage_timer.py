"""Work done and seconds spent by stage, by the names of a plan."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class StageTimer:
    """Work done and seconds spent by stage, by the names of a plan."""

    def __init__(self) -> None:
        self.spent: dict[str, tuple[float, float]] = {}

    def add(self, stage: str, work: float, seconds: float) -> None:
        before = self.spent.get(stage, (0.0, 0.0))
        self.spent[stage] = (before[0] + work, before[1] + seconds)

    @property
    def seconds(self) -> float:
        return sum(seconds for _, seconds in self.spent.values())

    @contextlib.contextmanager
    def timed(self, stage: str, work: float) -> Iterator[None]:
        """Adds what the block takes, less what stages inside it add themselves."""
        started, before = time.perf_counter(), self.seconds
        yield
        self.add(stage, work, time.perf_counter() - started - (self.seconds - before))

    def since(self, before: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        grown = {
            name: (work - before.get(name, (0, 0))[0], seconds - before.get(name, (0, 0))[1])
            for name, (work, seconds) in self.spent.items()
        }
        return {name: pair for name, pair in grown.items() if pair[0] > 0}
