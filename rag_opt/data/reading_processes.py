"""Files read in processes of their own, each with a limit of time and memory: one that hangs harms no other."""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rag_opt.core.errors import NoText, Unreadable
from rag_opt.core.readings import Reading
from rag_opt.data.reading_worker import FAILURE, LENGTH, NO_TEXT

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from rag_opt.data.formats import Format

_MODULE = "rag_opt.data.reading_worker"


@dataclass(frozen=True)
class Limits:
    """What one file may take: seconds, and megabytes of the memory of the process that reads it."""

    seconds: float = 300.0
    memory_mb: int = 4000


@dataclass(frozen=True)
class Request:
    """A file, and what reads it."""

    path: Path
    part: Format
    encoding: str | None


def read_in_processes(requests: Sequence[Request], limits: Limits) -> Iterator[Reading | Unreadable]:
    """Yield for each file, in their order, its reading or why there is none."""
    count = min(os.cpu_count() or 1, len(requests))
    if not count:
        return
    pool = _Pool(limits)
    executor = ThreadPoolExecutor(count, thread_name_prefix="reading")
    try:
        yield from executor.map(pool.read, requests)
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        pool.close()


class _Pool:
    """Processes that wait for files. One that took too long is ended, and another takes its place."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._all: set[_Process] = set()
        self._closed = False

    def read(self, request: Request) -> Reading | Unreadable:
        """Return the reading of a file or why there is none."""
        process = self._take()
        try:
            reading = process.read(request, self._limits)
        except Unreadable as error:
            if process.alive:
                self._idle.put(process)
            return error
        self._idle.put(process)
        return reading

    def _take(self) -> _Process:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            with self._lock:
                if self._closed:
                    raise Unreadable("was not read: the program ends") from None
                process = _Process()
                self._all.add(process)
                return process

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closed = True
            for process in self._all:
                process.end()


class _Process:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # where plug-ins are found here
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def read(self, request: Request, limits: Limits) -> Reading:
        """Return the reading of a file. Raises Unreadable; the process is ended where it took too long, or broke."""
        part = request.part
        asked = {
            "path": str(request.path),
            "module": type(part).__module__,
            "name": type(part).__qualname__,
            "settings": dataclasses.asdict(cast("DataclassInstance", part)),
            "encoding": request.encoding,
            "memory_mb": limits.memory_mb,
        }
        deadline = time.monotonic() + limits.seconds
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
            head = self._receive(1 + LENGTH.size, deadline)
            content = self._receive(LENGTH.unpack(head[1:])[0], deadline)
        except TimeoutError:
            self.end()
            raise Unreadable(f"was not read within {limits.seconds:g} s (dataset.max_seconds)") from None
        except (OSError, EOFError):
            status = self._process.wait()
            self.end()
            how = f"signal {-status}" if status < 0 else f"status {status}"
            raise Unreadable(
                f"ended the process that read it ({how}): it is broken, or wants too much memory"
            ) from None
        if head[:1] in (FAILURE, NO_TEXT):
            raise (NoText if head[:1] == NO_TEXT else Unreadable)(content.decode())
        return Reading.from_bytes(content)

    def _receive(self, count: int, deadline: float) -> bytes:
        assert self._process.stdout is not None
        parts, pipe = list[bytes](), self._process.stdout.fileno()
        while count:
            ready, _, _ = select.select([pipe], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise TimeoutError
            part = os.read(pipe, min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
