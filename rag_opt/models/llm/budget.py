"""The cost of asking language models: every call is booked before it is sent, and none is sent over a cap."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pydantic.dataclasses
from annotated_doc import Doc
from annotated_types import Ge, Gt

from rag_opt.core.errors import BudgetSpent
from rag_opt.core.forking import ThreadLock
from rag_opt.core.strict import STRICT
from rag_opt.models.event_loop import PerLoop
from rag_opt.models.llm.spending_file import SpendingFile

if TYPE_CHECKING:
    from rag_opt.models.http_replies import Reply


Cost = tuple[int, int, float]  # tokens read, tokens written, dollars


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=STRICT)
class Budget:
    """Hard caps of a study, all its runs together."""

    usd: Annotated[Annotated[float, Gt(0)] | None, Doc("Most US dollars; null: no cap.")] = None
    calls: Annotated[
        Annotated[int, Ge(1)] | None, Doc("Most calls: every request that is sent is one; null: no cap.")
    ] = None
    minutes: Annotated[Annotated[float, Gt(0)] | None, Doc("Most minutes of all runs; null: no cap.")] = None


@dataclass
class Usage:
    """Calls of a language model, their tokens and their cost."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    def add(self, other: Usage) -> None:
        """Add what somebody else used."""
        self.calls += other.calls
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.usd += other.usd

    def minus(self, earlier: Usage) -> dict[str, float]:
        """Return by field what was used since `earlier`."""
        before = asdict(earlier)
        return {name: number - before[name] for name, number in asdict(self).items()}


@dataclass
class _InFlight:
    """Calls that are not answered yet: the most dollars that each can cost, and the end of any of them."""

    most_usd: dict[int, float] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class BudgetTracker:
    """Calls of one study, in memory until a file is opened for them.

    Dollars of calls in flight are not known: a call is let through while what is spent, with the most that those in
    flight can cost, is below the cap. So no cap is passed by more than one call.

    Threads share what is spent under a lock; calls in flight are touched only in the event loop. A forked process goes
    on from what was spent until then, and writes to the same file by a connection of its own. It does not see what its
    parent spends from then on: each of them keeps the caps for itself.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.by_who: dict[str, Usage] = {}
        self.share = 1.0  # of the caps: what may be spent now
        self._lock = ThreadLock()
        self._started = time.monotonic()
        self._earlier_s = 0.0
        self._in_flight = PerLoop(_InFlight)
        self._file: SpendingFile | None = None

    def open(self, path: Path) -> None:
        """Go on from what a file says was spent, and write there from now on. Raises BadStudy for a damaged one."""
        with self._lock:
            self._file = SpendingFile(path)
            for who, numbers in self._file.sums().items():
                self.by_who[who] = Usage(*numbers)
            self._started, self._earlier_s = time.monotonic(), self._file.earlier_s

    @property
    def total(self) -> Usage:
        """Usage of everybody together."""
        total = Usage()
        with self._lock:
            for usage in self.by_who.values():
                total.add(usage)
        return total

    @property
    def minutes(self) -> float:
        """Minutes that all runs have taken so far."""
        return (self._earlier_s + time.monotonic() - self._started) / 60

    def tick(self) -> None:
        """Write down how long this run has taken so far."""
        with self._lock:
            if self._file is not None:  # none while calls are cancelled after the end
                self._file.tick(time.monotonic() - self._started)

    def share_spent(self) -> float:
        """Return the share of the scarcest cap that is spent, of what may be spent now; 0 without any cap."""
        spent, caps = self.total, self.budget
        used = [(spent.usd, caps.usd), (float(spent.calls), caps.calls), (self.minutes, caps.minutes)]
        return max((amount / (cap * self.share) for amount, cap in used if cap), default=0.0)

    def over(self) -> str:
        """Return which cap is reached, in words; empty while none is."""
        spent, caps = self.total, self.budget
        usd = spent.usd + 1e-12
        if caps.calls is not None and spent.calls >= max(int(caps.calls * self.share), 1):
            return f"budget.calls={caps.calls}: {spent.calls:,} calls are spent"
        if caps.usd is not None and usd >= caps.usd * self.share:
            return f"budget.usd={caps.usd:g}: ${spent.usd:.4f} are spent"
        return self.out_of_time()

    def out_of_time(self) -> str:
        """Return in words that the cap of minutes is reached; empty while it is not."""
        cap = self.budget.minutes
        if cap is not None and self.minutes >= cap * self.share:
            return f"budget.minutes={cap:g}: {self.minutes:.1f} minutes are spent"
        return ""

    def refuse_late(self) -> None:
        """Raise BudgetSpent where no time is left."""
        why = self.out_of_time()
        if why:
            raise BudgetSpent(why)

    @contextlib.asynccontextmanager
    async def call(self, who: str, model: str, *, most_usd: float) -> AsyncIterator[Callable[[str, Usage], None]]:
        """Surround one request, and yield a function that is told how it ended and what it cost.

        `who`: in whose name it is booked; `most_usd`: the most it can cost. Raises BudgetSpent instead of sending.
        """
        in_flight = self._in_flight.get()
        await self._wait_for_admission(in_flight, most_usd)
        number = self._book(who, model)
        in_flight.most_usd[number] = most_usd

        def end(state: str, cost: Usage) -> None:
            with self._lock:
                self.by_who[who].add(cost)
                if self._file is not None:
                    self._file.settle(number, state, cost.input_tokens, cost.output_tokens, cost.usd)

        try:
            yield end
        finally:
            del in_flight.most_usd[number]
            self.tick()
            in_flight.ended.set()

    @contextlib.asynccontextmanager
    async def booked(
        self, who: str, model: str, *, most_usd: float, cost: Callable[[Reply, float], Cost]
    ) -> AsyncIterator[Callable[[Reply], None]]:
        """Surround one try of a request that is paid for, and yield the function that is shown its reply.

        `cost` gives what a reply costs after so many seconds. A try that was not sent costs nothing; one that was not
        answered the most it can, since it may well be answered and billed, only not to us. Raises BudgetSpent instead
        of letting it be sent.
        """
        import httpx

        async with self.call(who, model, most_usd=most_usd) as end:
            started = time.perf_counter()

            def observe(reply: Reply) -> None:
                input_tokens, output_tokens, usd = cost(reply, time.perf_counter() - started)
                end(str(reply.status), Usage(0, input_tokens, output_tokens, usd))

            try:
                yield observe
            except (httpx.ConnectError, httpx.ConnectTimeout):
                end("not sent", Usage())
                raise
            except BaseException:
                end("unanswered", Usage(usd=most_usd))
                raise

    async def _wait_for_admission(self, in_flight: _InFlight, most_usd: float) -> None:
        while True:
            reached = self.over()
            if reached:
                raise BudgetSpent(reached)
            cap, promised_usd = self.budget.usd, sum(in_flight.most_usd.values())
            if cap is None or not promised_usd or self.total.usd + promised_usd < cap * self.share:
                return
            in_flight.ended.clear()
            await in_flight.ended.wait()

    def _book(self, who: str, model: str) -> int:
        """Count a call that is about to be sent, and return its number."""
        with self._lock:
            self.by_who.setdefault(who, Usage()).calls += 1
            return self.total.calls if self._file is None else self._file.book(who, model)

    def close(self) -> None:
        """Write down how long this run took, and close the file."""
        self.tick()
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                file.close()

    def snapshot(self) -> dict[str, Usage]:
        """Return a copy of what everybody has spent so far."""
        with self._lock:
            return {who: replace(usage) for who, usage in self.by_who.items()}


def usage_between(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, dict[str, float]]:
    """Return by who asked what was spent in between; nobody who did not ask."""
    increases = {who: usage.minus(before.get(who, Usage())) for who, usage in after.items()}
    return {who: increase for who, increase in increases.items() if increase["calls"]}
