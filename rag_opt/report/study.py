"""A study on disk, for reading: its trials, its winner, its summary."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path

from rag_opt.core.arrays import FloatArray
from rag_opt.core.errors import BadInput, BadStudy, StudyMismatch
from rag_opt.core.registry import load_parts
from rag_opt.core.strict import PlainDict, PlainMapping
from rag_opt.study.descriptions import describe
from rag_opt.study.folder import StudyFolder
from rag_opt.study.result import Result
from rag_opt.study.trials import Trial, load_trials


class Study:
    """A search's folder, `outputs/<study>`. What it holds is read when first asked for, and kept.

    Raises BadInput for a folder that is none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._folder = StudyFolder(self.path)
        if not (self.path / "study.json").exists():
            raise BadInput(f"{self.path} is not a study's folder (no study.json)")
        load_parts()  # how a pipeline is described depends on the defaults of its parts
        # those of plug-ins, too; of a package that is gone the kinds keep their names, and damage shows when it is read
        with contextlib.suppress(BadInput, BadStudy, StudyMismatch, KeyError):
            load_parts(self.settings["composed"]["plugins"])

    @property
    def name(self) -> str:
        """Name of the study."""
        return self._folder.name

    @property
    def stored_name(self) -> str:
        """The name that its trials are kept under."""
        return self._folder.study_name

    @property
    def is_running(self) -> bool:
        """True while a search holds it."""
        return self._folder.busy

    @functools.cached_property
    def settings(self) -> PlainDict:
        """What it was searched with, as `study.json` keeps it."""
        return self._folder.settings()["settings"]

    def column(self, number: int, name: str) -> FloatArray:
        """Return one column of numbers of a trial's rows on the search questions, NaN where a question has none."""
        return self._folder.load_column(number, name)

    @functools.cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Finished trials, in the order of their numbers."""
        return tuple(load_trials(self._folder.database, self._folder.study_name))

    @functools.cached_property
    def result(self) -> PlainMapping | None:
        """Content of `result.json`: winner, baseline, gain with its interval; None before the search has ended."""
        return self._folder.result()

    @property
    def best(self) -> Trial | None:
        """The winner, chosen by the held-out questions; None before the search has ended."""
        if self.result is None:
            return None
        number = self.result["winner"]
        return next(trial for trial in self.trials if trial.number == number)

    def rows(self, number: int, *, held_out: bool = False) -> list[PlainDict]:
        """Return what a trial returned and scored, a row per search question, or per held-out question."""
        return self._folder.load_rows(number, "held_out" if held_out else "rows")

    def summary(self) -> str:
        """Return in a few lines the winner, its gain over the baseline with the interval, and where to go on."""
        counted = f"{self.name}: {len(self.trials)} trials"
        if self.best is None or self.result is None:
            return f"{counted}, no winner yet"
        gain, number = self.result["gain"], self.best.number
        lines = [counted, f"winner    trial {number}: {describe(self.best.spec)}", f"chosen    {self.result['why']}"]
        lines.append(f"verdict   {self.result['verdict']}")
        if number != self.result["baseline"] and gain["mean"] is not None:
            ends = (gain["low"], gain["high"])
            interval = "" if None in ends else f", 95 % interval [{ends[0] * 100:+.1f}, {ends[1] * 100:+.1f}]"
            expected = (self.result["expected_gain"] or 0.0) * 100
            lines.append(f"gain      {expected:+.1f} points expected, {gain['mean'] * 100:+.1f} measured{interval}")
        keep = Result.from_dict(self.result).keep
        if keep:
            return "\n".join([*lines, f"keep      {keep}"])
        return "\n".join([*lines, f"export    python -m rag_opt.export {self.path} --out bundle/"])
