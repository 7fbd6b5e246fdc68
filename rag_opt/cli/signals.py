"""Stopping cleanly: Ctrl-C and SIGTERM end a command with 130 or 143 and one line, with everything finished kept."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag_opt.pipeline.spec import SpecDict
    from rag_opt.study.sweep import Sweep
    from rag_opt.study.trials import Trial


SIGNALS = (signal.SIGINT, signal.SIGTERM)


def this_command() -> str:
    """Return the command line of this process, as a person gives it."""
    program = Path(sys.argv[0])
    if program.parent.name == "rag_opt" and program.suffix == ".py":
        return shlex.join(["python", "-m", f"rag_opt.{program.stem}", *sys.argv[1:]])
    return shlex.join([*shlex.split(sys.argv[0]), *sys.argv[1:]])  # `rag-opt search`


def describe_stop() -> str:
    """Return what a person is told whose command was stopped."""
    return f"\nStopped. What is finished is kept; the same command resumes:\n  {this_command()}"


def stop_at_once() -> None:
    """From now on a signal ends this process with 130 or 143 and the line that resumes.

    For while nothing is half done: an exception that is raised inside an import may be swallowed there.
    """

    def leave(number: int, frame: object) -> None:
        os.write(1, f"{describe_stop()}\n".encode())  # what was printed and not flushed may be locked
        os._exit(128 + number)

    for number in SIGNALS:
        signal.signal(number, leave)


class Stopped(KeyboardInterrupt):
    """A signal that ends the command. `exit_code`: 130 for Ctrl-C, 143 for SIGTERM."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def raise_when_stopped() -> None:
    """From now on a signal raises Stopped, so that what is half done is cleared away; a second one ends at once."""

    def interrupt(number: int, frame: object) -> None:
        stop_at_once()
        raise Stopped(number)

    for number in SIGNALS:
        signal.signal(number, interrupt)


class Stop:
    """Remembers that a stop was asked for. As a watcher of the search it lets no trial and no batch begin after that.

    `exit_code`: 130 for Ctrl-C, 143 for SIGTERM.

    An interrupt that comes while Python runs a finalizer is swallowed by it; this one is not forgotten.
    """

    def __init__(self) -> None:
        self.asked = False
        self.exit_code = 130

    def check(self) -> None:
        """Raise KeyboardInterrupt where a stop was asked for."""
        if self.asked:
            raise KeyboardInterrupt

    def trial_started(self, number: int, spec: SpecDict, origin: str) -> None:
        """Stop before a trial begins."""
        self.check()

    def before(self, progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
        """Return the same watcher of progress, which stops where that was asked for."""

        def report(done: int, total: int) -> None:
            self.check()
            progress(done, total)

        return report

    def trial_finished(self, trial: Trial, done: int) -> None:
        """Nothing: a finished trial is kept first."""

    def note(self, text: str) -> None:
        """Nothing."""

    def sweep_finished(self, number: int, sweep: Sweep) -> None:
        """Nothing."""


@contextmanager
def stoppable(stop: Stop) -> Iterator[None]:
    """Have SIGTERM and Ctrl-C set a Stop and raise KeyboardInterrupt. A second signal ends the process at once."""

    def ask(number: int, frame: object) -> None:
        stop.asked, stop.exit_code = True, 128 + number
        stop_at_once()
        raise KeyboardInterrupt

    def unraisable(what: sys.UnraisableHookArgs) -> None:
        if what.exc_type is not KeyboardInterrupt:
            shown(what)

    shown, sys.unraisablehook = sys.unraisablehook, unraisable
    before = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield
    finally:
        sys.unraisablehook = shown
        for number, handler in before.items():
            signal.signal(number, handler)
