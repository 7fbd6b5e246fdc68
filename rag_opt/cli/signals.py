"""Stopping cleanly: Ctrl-C and SIGTERM end a search between two pieces of work, with everything finished kept."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag_opt.pipeline.spec import SpecDict
    from rag_opt.study.sweep import Sweep
    from rag_opt.study.trials import Trial


class Stop:
    """Remembers that a stop was asked for. As a watcher of the search it lets no trial and no batch begin after that.

    An interrupt that comes while Python runs a finalizer is swallowed by it; this one is not forgotten.
    """

    def __init__(self) -> None:
        self.asked = False

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
def stoppable() -> Iterator[Stop]:
    """Give a Stop that SIGTERM and Ctrl-C set. A second signal ends the process at once."""
    stop = Stop()

    def ask(number: int, frame: object) -> None:
        stop.asked = True
        for again in (signal.SIGINT, signal.SIGTERM):
            signal.signal(again, lambda *_: os._exit(130))
        raise KeyboardInterrupt

    def unraisable(what: sys.UnraisableHookArgs) -> None:
        if what.exc_type is not KeyboardInterrupt:
            shown(what)

    shown, sys.unraisablehook = sys.unraisablehook, unraisable
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        sys.unraisablehook = shown
        for number, handler in before.items():
            signal.signal(number, handler)
