"""A process that has imported everything large once, and forks one child for each command that it is asked to run.

Test workers share it: they ask over a socket, a connection for each command, as a line of JSON. The answer is a line
with the child's number, and at its end one with its exit code. The server ends when the last worker has gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

_POLL_S = 0.01
_PATIENCE_S = 120.0  # for the server to import


def serve(address: str) -> None:
    import tests.cli.preloaded  # noqa: F401  # imported for what it imports

    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{address}.new")
    listening.listen(16)
    Path(f"{address}.new").replace(address)
    workers: set[socket.socket] = set()
    running: dict[int, socket.socket] = {}
    served, parent = False, os.getppid()
    while workers or (not served and os.getppid() == parent):
        for ready in select.select([listening, *workers], [], [], _POLL_S)[0]:
            if ready is not listening:  # a worker says nothing until it goes
                workers.discard(ready)
                ready.close()
                continue
            connection = listening.accept()[0]
            asked = json.loads(connection.makefile("r").readline())
            if asked is None:
                workers.add(connection)
                served = True
                continue
            child = os.fork()
            if child == 0:
                for other in (listening, connection, *workers, *running.values()):
                    other.close()
                run_module(**asked)
            connection.sendall(f"{child}\n".encode())
            running[child] = connection
        while running and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            connection = running.pop(ended[0])
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(f"{os.waitstatus_to_exitcode(ended[1])}\n".encode())
            connection.close()
    Path(f"{address}.pid").unlink()


def run_module(name: str, arguments: Sequence[str], place: str, variables: Mapping[str, str], logs: str) -> None:
    """Run a module as `python -m` does, in this process, which was forked for it, and end."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, log in enumerate(logs_of(Path(logs), os.getpid()), start=1):
        os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY), number)
    os.chdir(place)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[0] = place
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)
    raise SystemExit


def logs_of(folder: Path, process: int) -> tuple[Path, Path]:
    return folder / f"{process}.out", folder / f"{process}.err"


def launch(folder: Path) -> str:
    """Start the server of this folder, where there is none, and return its address without waiting for it."""
    address = str(folder / "fork-server")
    number = Path(f"{address}.pid")
    with filelock.FileLock(f"{address}.lock"):
        if not number.exists():
            log = os.open(f"{address}.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            command = [sys.executable, "-m", "tests.cli.fork_server", address]
            output = [(os.POSIX_SPAWN_DUP2, log, stream) for stream in (1, 2)]
            number.write_text(
                str(os.posix_spawn(sys.executable, command, os.environ, file_actions=output, setsid=True))
            )
            os.close(log)
    return address


def connect(folder: Path) -> tuple[str, socket.socket]:
    """Return the address of the server of this folder, and what keeps it alive."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        address = launch(folder)
        with contextlib.suppress(OSError):
            return address, ask(address, None)
        time.sleep(0.05)
    raise TimeoutError(Path(f"{address}.log").read_text())


def ask(address: str, what: Mapping[str, Any] | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
        connection.sendall(json.dumps(what).encode() + b"\n")
    except OSError:
        connection.close()
        raise
    return connection


if __name__ == "__main__":
    serve(sys.argv[1])
