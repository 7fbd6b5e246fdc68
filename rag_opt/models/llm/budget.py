"""What asking language models costs a study: every call is booked before it is sent, and none is sent over a cap."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import pydantic.dataclasses
from annotated_types import Ge, Gt

from rag_opt.core.errors import BudgetSpent
from rag_opt.core.strict import STRICT

_TABLES = """
CREATE TABLE IF NOT EXISTS call (
    id INTEGER PRIMARY KEY, at REAL, who TEXT, model TEXT, state TEXT DEFAULT 'sent',
    input_tokens INTEGER DEFAULT 0, output_tokens INTEGER DEFAULT 0, usd REAL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS run (id INTEGER PRIMARY KEY, at REAL, seconds REAL);
"""
_SUMS = "SELECT who, COUNT(*), SUM(input_tokens), SUM(output_tokens), SUM(usd) FROM call GROUP BY who"


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=STRICT)
class Budget:
    """Hard caps of a study, all its runs together: dollars, calls (every request that is sent), minutes."""

    usd: Annotated[float, Gt(0)] | None = None
    calls: Annotated[int, Ge(1)] | None = None
    minutes: Annotated[float, Gt(0)] | None = None


@dataclass
class Usage:
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    def add(self, other: Usage) -> None:
        for one in fields(Usage):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


class BudgetTracker:
    """Calls of one study, in memory until a file is opened for them.

    Dollars of calls in flight are not known: a call is let through while what is spent, with the most that those in
    flight can cost, is below the cap. So no cap is passed by more than one call.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.by_who: dict[str, Usage] = {}
        self.share = 1.0  # of the caps: what may be spent now
        self._started = time.monotonic()
        self._earlier_s = 0.0
        self._in_flight: dict[int, float] = {}
        self._told: asyncio.Event | None = None
        self._rows: sqlite3.Connection | None = None
        self._run = 0

    def open(self, path: Path) -> None:
        """Goes on from what is written down there, and writes there from now on."""
        self._rows = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
        self._rows.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _TABLES)
        for who, *numbers in self._rows.execute(_SUMS):
            self.by_who[who] = Usage(*numbers)
        self._started = time.monotonic()
        self._earlier_s = float(self._rows.execute("SELECT COALESCE(SUM(seconds), 0) FROM run").fetchone()[0])
        self._run = int(self._rows.execute("INSERT INTO run (at, seconds) VALUES (?, 0)", [time.time()]).lastrowid or 0)

    @property
    def total(self) -> Usage:
        whole = Usage()
        for one in list(self.by_who.values()):
            whole.add(one)
        return whole

    @property
    def minutes(self) -> float:
        return (self._earlier_s + time.monotonic() - self._started) / 60

    def tick(self) -> None:
        """Writes down how long this run has taken so far."""
        self._write("UPDATE run SET seconds = ? WHERE id = ?", [time.monotonic() - self._started, self._run])

    def _write(self, statement: str, values: Sequence[Any]) -> None:
        if self._rows is not None:
            with contextlib.suppress(sqlite3.ProgrammingError):  # closed, while calls are being cancelled
                self._rows.execute(statement, values)

    def over(self) -> str:
        """Which cap is reached, in words; empty while none is."""
        spent, caps = self.total, self.budget
        usd = spent.usd + 1e-12
        if caps.calls is not None and spent.calls >= max(int(caps.calls * self.share), 1):
            return f"budget.calls={caps.calls}: {spent.calls:,} calls are spent"
        if caps.usd is not None and usd >= caps.usd * self.share:
            return f"budget.usd={caps.usd:g}: ${spent.usd:.4f} are spent"
        return self.out_of_time()

    def out_of_time(self) -> str:
        """The same of minutes alone."""
        cap = self.budget.minutes
        if cap is not None and self.minutes >= cap * self.share:
            return f"budget.minutes={cap:g}: {self.minutes:.1f} minutes are spent"
        return ""

    def refuse_late(self) -> None:
        """Raises BudgetSpent where no time is left."""
        why = self.out_of_time()
        if why:
            raise BudgetSpent(why)

    @contextlib.asynccontextmanager
    async def call(self, who: str, model: str, *, most_usd: float) -> AsyncIterator[Callable[[str, Usage], None]]:
        """Surrounds one request; its body says how it ended and what it cost. Raises BudgetSpent instead of sending."""
        await self._admitted(most_usd)
        number = self._sent(who, model)
        self._in_flight[number] = most_usd

        def ended(state: str, cost: Usage) -> None:
            self.by_who[who].add(cost)
            values = [state, cost.input_tokens, cost.output_tokens, cost.usd, number]
            self._write("UPDATE call SET state = ?, input_tokens = ?, output_tokens = ?, usd = ? WHERE id = ?", values)

        try:
            yield ended
        finally:
            del self._in_flight[number]
            self.tick()
            if self._told is not None:
                self._told.set()

    async def _admitted(self, most_usd: float) -> None:
        while True:
            reached = self.over()
            if reached:
                raise BudgetSpent(reached)
            cap, promised = self.budget.usd, sum(self._in_flight.values())
            if cap is None or not promised or self.total.usd + promised < cap * self.share:
                return
            self._told = self._told or asyncio.Event()
            self._told.clear()
            await self._told.wait()

    def _sent(self, who: str, model: str) -> int:
        self.by_who.setdefault(who, Usage()).calls += 1
        if self._rows is None:
            return self.total.calls
        row = self._rows.execute("INSERT INTO call (at, who, model) VALUES (?, ?, ?)", [time.time(), who, model])
        return int(row.lastrowid or 0)

    def close(self) -> None:
        self.tick()
        if self._rows is not None:
            self._rows.close()
            self._rows = None


def grown(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, dict[str, float]]:
    """By who asked, what was spent in between; nothing for those that did not ask."""
    found = {}
    for who, now in after.items():
        then = before.get(who, Usage())
        more = {one.name: getattr(now, one.name) - getattr(then, one.name) for one in fields(Usage)}
        if more["calls"]:
            found[who] = more
    return found


def copied(by_who: Mapping[str, Usage]) -> dict[str, Usage]:
    """As it is now, whatever is spent later."""
    return {who: replace(one) for who, one in by_who.items()}
