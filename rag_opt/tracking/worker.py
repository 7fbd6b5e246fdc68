"""The tracking worker: takes notes out of the outbox and writes them to MLflow, each once, in order."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import filelock
import orjson

from rag_opt.core.errors import BadStudy
from rag_opt.study.folder import StudyFolder
from rag_opt.study.trials import Trial, load_trials
from rag_opt.tracking.mlflow_runs import MlflowStudy
from rag_opt.tracking.outbox import Outbox
from rag_opt.tracking.run_contents import Progress

_LONGEST_PAUSE_S = 30.0
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST")  # of what was sent, not of the server


class Delivery:
    """Delivers the notes of one study, one worker at a time. A note is removed after its run is written.

    Writing a run again is harmless. `live`: the search goes on, and the study's run says so.
    """

    def __init__(self, folder: StudyFolder, *, live: bool = False) -> None:
        self._folder = folder
        self._live = live
        self._runs: MlflowStudy | None = None
        self._trials: dict[int, Trial] = {}
        self.delivered = 0

    def deliver_waiting(self) -> int:
        """Deliver all that waits now, and return the number of runs written. Raises what MLflow raises."""
        with filelock.FileLock(self._folder.path / "tracking.lock"):
            notes = sorted(self._folder.outbox.glob("*.json"))
            if notes and self._runs is None:
                self._runs = self._connect()
                notes = sorted(self._folder.outbox.glob("*.json"))
            refusals = [error for note in notes if (error := self._try_to_deliver(note)) is not None]
            if refusals:
                raise refusals[0]
            return len(notes)

    def _connect(self) -> MlflowStudy:
        """Return the study's runs; where MLflow's database had to be made anew, all trials are delivered again."""
        runs = MlflowStudy(self._folder)
        if runs.is_new:
            (self._folder.path / "delivered").unlink(missing_ok=True)
            outbox = Outbox(self._folder)
            for trial in load_trials(self._folder.database, self._folder.study_name):
                outbox.trial_finished(trial, 0)
        if self._live:
            runs.mark_running()
        return runs

    def _try_to_deliver(self, note: Path) -> Exception | None:
        """Deliver a note, or return why it cannot be: that keeps no other note. Raises what no other would survive."""
        from mlflow.exceptions import MlflowException

        try:
            self._deliver(note)
        except MlflowException as error:
            if error.error_code not in _REFUSALS:
                raise
            refusal: Exception = error
            return refusal
        except (BadStudy, ValueError, KeyError, FileNotFoundError) as error:  # of this trial's own files
            return error
        return None

    def _deliver(self, note: Path) -> None:
        try:
            content = orjson.loads(note.read_bytes())
        except FileNotFoundError:  # another worker took it while we waited for the lock
            return
        assert self._runs is not None
        result = self._folder.result()
        if "trial" in content:
            number = int(content["trial"])
            held_out = (result or {}).get("metrics", {}).get(str(number), {})
            self._runs.write_trial(self._trial(number), held_out)
            self._runs.write_progress(self._progress(number))
            with (self._folder.path / "delivered").open("a") as file:
                file.write(f"{number}\n")
        elif "evaluation" in content:
            trial = self._trial(int(content["evaluation"]))
            self._runs.evaluations.write(trial, str(content["role"]), texts=self._runs.content == "full")
        else:
            self._runs.write_result(str(content["status"]), result)
        self.delivered += 1
        if orjson.loads(note.read_bytes()) == content:
            note.unlink(missing_ok=True)

    def search_is_gone(self) -> None:
        """Mark the study's run as killed where its search is gone without a word."""
        if not (self._folder.path / "delivered").exists():
            return
        runs = self._runs or MlflowStudy(self._folder)
        with filelock.FileLock(self._folder.path / "tracking.lock"):
            if runs.is_running() and not self._folder.busy:  # asked last: a search may have begun meanwhile
                runs.write_result("KILLED", None)

    def _progress(self, number: int) -> Progress:
        facts = self._folder.settings()["settings"].get("report", {})
        lower = facts.get("direction") == "minimize"
        return Progress.after(number, list(self._trials.values()), total=facts.get("trials"), ascending=lower)

    def _trial(self, number: int) -> Trial:
        if number not in self._trials:
            self._trials = {
                trial.number: trial
                for trial in load_trials(self._folder.database, str(self._folder.settings()["name"]))
            }
        return self._trials[number]


def follow(folder: StudyFolder, search_lives: Callable[[], bool], *, patience_s: float = 10.0) -> int:
    """Deliver while the search lives, then what is left for at most `patience_s`; return how many notes still wait.

    A server that cannot be reached is tried again, ever less often; the notes stay where they are.
    """
    delivery, pause, give_up = Delivery(folder, live=True), 0.3, None
    while True:
        alive = search_lives()
        if not alive and give_up is None:
            give_up, pause = time.monotonic() + patience_s, 0.3
        try:
            delivery.deliver_waiting()
            if not alive and not list(folder.outbox.glob("*.json")):
                delivery.search_is_gone()
            pause = 0.3
        except Exception as error:  # whatever the server does, the search must not notice
            print(f"not delivered, will try again: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        left = len(list(folder.outbox.glob("*.json")))
        if not alive and (not left or (give_up is not None and time.monotonic() > give_up)):
            return left
        deadline = time.monotonic() + pause
        while time.monotonic() < deadline and (search_lives() or not alive):
            time.sleep(0.1)
