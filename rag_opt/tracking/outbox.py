"""The outbox: notes that wait for tracking. A search only writes here, and cannot be delayed or fail by it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import orjson

from rag_opt.pipeline.spec import SpecDict
from rag_opt.store.artifacts import write_atomically
from rag_opt.study.folder import StudyFolder
from rag_opt.study.sweep import Sweep
from rag_opt.study.trials import Trial

RESULT = "zz-result"  # sorts after every trial: delivered last


class Outbox:
    """A watcher of the search: a finished trial leaves a note here, the tracking worker takes it away.

    Without `enabled` no note is left.
    """

    def __init__(self, folder: StudyFolder, *, enabled: bool = True) -> None:
        self._path = folder.outbox
        self._enabled = enabled
        self._path.mkdir(parents=True, exist_ok=True)

    def trial_started(self, number: int, spec: SpecDict, origin: str) -> None:
        """Nothing: only finished trials are tracked."""

    def trial_finished(self, trial: Trial, done: int) -> None:
        """Leave a note of a finished trial."""
        self._put(f"trial-{trial.number:05d}", {"trial": trial.number})

    def note(self, text: str) -> None:
        """Nothing."""

    def sweep_finished(self, number: int, sweep: Sweep) -> None:
        """Leave a note: the trial has the table of a sweep."""
        self._put(f"trial-{number:05d}", {"trial": number})

    def held_out(self, number: int) -> None:
        """Leave a note: the trial has new rows on the held-out questions."""
        self._put(f"trial-{number:05d}", {"trial": number})

    def evaluation(self, number: int, role: str) -> None:
        """Leave a note that a finalist is to be an evaluation run. `role`: winner, baseline or finalist."""
        self._put(f"evaluation-{number:05d}", {"evaluation": number, "role": role})

    def result(self, status: str) -> None:
        """Leave a note of how the search ended: FINISHED, KILLED or FAILED."""
        self._put(RESULT, {"status": status})

    def _put(self, name: str, note: dict[str, object]) -> None:
        if not self._enabled:
            return
        # the time tells a note from one of the same name that a worker is just delivering
        try:
            write_atomically(self._path / f"{name}.json", orjson.dumps({**note, "written": time.time_ns()}))
        except OSError as error:  # a full disk or a locked file is no reason to fail a search
            print(f"tracking: the note {name} could not be written: {error}", file=sys.stderr)

    def waiting(self) -> int:
        """Return how many notes wait."""
        return len(list(self._path.glob("*.json")))

    def restore(self, trials: list[Trial], delivered: Path) -> None:
        """Put back the notes of trials on disk that were never delivered: after a kill between commit and note."""
        known = set(delivered.read_text().split()) if delivered.exists() else set()
        for trial in trials:
            if str(trial.number) not in known:
                self.trial_finished(trial, 0)


class TrackingWorker:
    """The process `python -m rag_opt.track --follow` beside the search. It ends when this process does."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._log: IO[bytes] = (folder.path / "tracking.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rag_opt.track", str(folder.path), "--follow"],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for the search; the worker ends when its input closes
        )

    def finish(self, *, patience_s: float) -> bool:
        """Close its input, wait at most `patience_s` for the rest to be delivered, and return whether all was."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=patience_s)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            try:
                self._process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()
        return not list(self._folder.outbox.glob("*.json"))
