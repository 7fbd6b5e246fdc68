"""Protocol of what watches a search."""

from __future__ import annotations

from typing import Protocol

from rag_opt.pipeline.spec import SpecDict
from rag_opt.study.sweep import Sweep
from rag_opt.study.trials import Trial


class Watcher(Protocol):
    """Is told how the search goes: the terminal, tracking."""

    def trial_started(self, number: int, spec: SpecDict, origin: str) -> None:
        """Take note that a trial begins."""
        ...

    def trial_finished(self, trial: Trial, done: int) -> None:
        """Take note that a trial is on disk. `done`: pipelines tried so far, this one included."""
        ...

    def note(self, text: str) -> None:
        """Take note of something that a person should know."""
        ...

    def sweep_finished(self, number: int, sweep: Sweep) -> None:
        """Take note that the lists of a trial's index were swept; the table is in the study's folder."""
        ...
