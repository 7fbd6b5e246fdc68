"""The default search beside programs that compute: threads that spin while they wait take the time of others."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

_BUSY = "while True: pass"
_LIMIT_S = 590.0


def measure() -> list[tuple[str, str, str]]:
    alone_s, alone_cpu_s = run_search(0)
    rows = [("default search alone, cold: seconds, processor time", f"{alone_s:.0f}, {alone_cpu_s:.0f}", "")]
    for busy, target in (
        (2, "at most 2.3 times the time, 1.15 times the processor time"),
        (6, "ends; at most 5 times"),
    ):
        took_s, cpu_s = run_search(busy)
        times = f"{took_s:.0f}, {cpu_s:.0f}: {took_s / alone_s:.2f} times, {cpu_s / alone_cpu_s:.2f} times"
        rows.append((f"the same beside {busy} busy processes on {os.cpu_count()} cores", times, target))
    return rows


def run_search(busy: int) -> tuple[float, float]:
    """Return seconds and processor seconds of a cold default search beside some busy processes."""
    with tempfile.TemporaryDirectory() as folder, _busy_processes(busy):
        command = [sys.executable, "-m", "rag_opt.search", f"outputs={folder}", "tracking=none"]
        before, started = os.times(), time.monotonic()
        subprocess.run(command, capture_output=True, check=True, timeout=_LIMIT_S)
        after, took_s = os.times(), time.monotonic() - started
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return took_s, used


@contextlib.contextmanager
def _busy_processes(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":  # python -m tests.benchmarks.busy BUSY_PROCESSES
    print(*run_search(int(sys.argv[1])))
