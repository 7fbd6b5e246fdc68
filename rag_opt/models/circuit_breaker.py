"""Finding out that a server is down, and telling everybody who waits for it at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from rag_opt.core.errors import ServerDown

_NEVER_REACHED_S = 10.0

Result = TypeVar("Result")


class CircuitBreaker:
    """Successes and failures of the requests to one server.

    Where no request at all is answered for `give_up_s` seconds, or for 10 by a server that was never reached, the
    server is down: everybody who waits gets ServerDown. It belongs to one event loop and is touched only there.
    """

    def __init__(self, url: str, *, give_up_s: float) -> None:
        self.reached = False
        self._url, self._give_up_s = url, give_up_s
        self._answered_at = 0.0
        self._failing_since: float | None = None
        self._not_before = self._retry_after_s = 0.0
        self._waiting: set[asyncio.Task[Any]] = set()
        self._down = ""  # why, while it is

    def check(self) -> None:
        """Raise ServerDown where the server is down."""
        if self._down:
            raise ServerDown(self._down)

    def record_success(self) -> None:
        """Note that a request was answered."""
        self._answered_at, self._failing_since, self._retry_after_s = time.monotonic(), None, 0.0

    def record_failure(self, started: float) -> None:
        """Note that a request sent at `started` was not answered."""
        self._failing_since = self._failing_since or max(started, self._answered_at)

    def hold_back(self, retry_after_s: float) -> None:
        """Let nobody ask before the time that the server asked for: it would be refused too."""
        self._not_before = max(self._not_before, time.monotonic() + retry_after_s)
        self._retry_after_s = retry_after_s

    async def wait_until_allowed(self) -> None:
        """Wait as long as the server asked for. Raises ServerDown as soon as it is found to be down."""
        await self.sleep(self._not_before - time.monotonic())

    async def sleep(self, pause_s: float) -> None:
        """Pause, but raise ServerDown as soon as the server is found to be down."""
        if pause_s > 0:
            await self.watch(asyncio.sleep(pause_s))
        self.check()

    async def watch(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return what the work returns. Raises ServerDown as soon as the server is found to be down."""
        task = asyncio.ensure_future(work)
        self._waiting.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            self.check()
            task.cancel()
            raise
        finally:
            self._waiting.discard(task)

    def trip_after_silence(self, reason: str) -> None:
        """Tell everybody that the server is down, now or when it will have been silent for too long."""
        if self._failing_since is None or self._down:
            return
        # one that was never reached is more likely not there than busy
        limit_s = self._give_up_s if self.reached else min(self._give_up_s, _NEVER_REACHED_S)
        limit_s = max(limit_s, self._retry_after_s + 1)  # a pause that it asked for is no silence
        silent_s = time.monotonic() - self._failing_since
        if silent_s < limit_s:
            asyncio.get_running_loop().call_later(limit_s - silent_s + 0.01, self.trip_after_silence, reason)
            return
        never = "it never gave a usable answer" if self.reached else "is a server running there?"
        history = "it answered before" if self._answered_at else never
        self._down = f"{self._url} answers nothing for {silent_s:.0f} seconds ({history}); {reason}"
        for task in list(self._waiting):
            task.cancel()
        # whoever asks later, tries it anew
        asyncio.get_running_loop().call_later(1.0, self._reset)

    def _reset(self) -> None:
        self._down, self._failing_since, self._not_before, self._retry_after_s = "", None, 0.0, 0.0
