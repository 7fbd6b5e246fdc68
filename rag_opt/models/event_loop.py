"""One event loop for all that waits on servers: in a thread of its own, for as long as the process lives.

A client that is used from several event loops fails silently, and code that runs inside a loop (a notebook, a service)
cannot start another one in its own thread.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Done = TypeVar("Done")
_starting = threading.Lock()
_running: tuple[int, asyncio.AbstractEventLoop, threading.Thread] | None = None


def event_loop() -> asyncio.AbstractEventLoop:
    """The loop of this process, running. A forked process gets its own."""
    global _running  # noqa: PLW0603  # there is one in a process
    with _starting:
        if _running is None or _running[0] != os.getpid() or not _running[2].is_alive():
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="rag_opt waits on servers", daemon=True)
            thread.start()
            _running = os.getpid(), loop, thread
        return _running[1]


def wait_for(work: Coroutine[Any, Any, Done]) -> Done:
    """What the coroutine returns or raises, run in the loop. Called from any other thread; an interrupt cancels it."""
    future = asyncio.run_coroutine_threadsafe(work, event_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
