"""One event loop for everything that waits on servers, in a thread of its own, as long as the process lives.

A client that is used from several event loops fails silently, and code that runs inside a loop (a notebook, a service)
cannot start another one in its own thread.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from rag_opt.core.forking import ThreadLock, abandon

Result = TypeVar("Result")
State = TypeVar("State")

# Shared by all threads of a process, under the lock; a forked process does not use its parent's but starts its own.
# Not anyio's blocking portal: it lives in a `with` block, whose end would wait in a child for the parent's thread.
_starting = ThreadLock()
_running: tuple[int, asyncio.AbstractEventLoop, threading.Thread] | None = None  # the process's id, loop and thread


def event_loop() -> asyncio.AbstractEventLoop:
    """Return the running loop of this process, started by the first that asks."""
    global _running  # noqa: PLW0603  # there is one in a process
    with _starting:
        if _running is None or _running[0] != os.getpid() or not _running[2].is_alive():
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="rag_opt waits on servers", daemon=True)
            thread.start()
            _running = os.getpid(), loop, thread
        return _running[1]


def wait_for(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in the loop and return its result. Called from any other thread; an interrupt cancels it."""
    future = asyncio.run_coroutine_threadsafe(work, event_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


class PerLoop(Generic[State]):
    """State that belongs to one event loop: connections, futures, semaphores.

    It is touched only in the loop, so by one thread. A forked process has another loop, and there gets a state of its
    own; the parent's is left untouched.
    """

    def __init__(self, make: Callable[[], State]) -> None:
        self._make = make
        self._process = os.getpid()
        self._current: tuple[asyncio.AbstractEventLoop, State] | None = None

    def get(self) -> State:
        """Return the state of the running loop, made by the first call in it."""
        loop = asyncio.get_running_loop()
        if self._process != os.getpid():
            abandon(self._current)
            self._process, self._current = os.getpid(), None
        if self._current is None or self._current[0] is not loop:
            self._current = loop, self._make()
        return self._current[1]
