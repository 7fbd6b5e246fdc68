"""One flipped bit anywhere in a study's files: what is read is what was written, or the file is named as damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson

from rag_opt.core.errors import BadStudy
from rag_opt.models.llm.budget import BudgetTracker, Usage
from rag_opt.models.llm.spending_file import SpendingFile
from rag_opt.setup.builtins import load_built_in
from rag_opt.study.folder import StudyFolder, StudySettings
from rag_opt.study.space.space import Space
from rag_opt.study.trials import TrialLog, load_trials
from tests.conftest import write_tiny
from tests.faults.flipped_bits import flip
from tests.faults.outcome import Outcome
from tests.faults.tiny_search import search

_CALLS = 40


def _trials(study: Path) -> object:
    """Read them as the API does, then as a search that goes on, which sets a damaged database aside."""
    database = study / "study.db"
    try:
        return load_trials(database, "full")
    finally:
        log = TrialLog(database, "full", _space(study), directions=["maximize"])
        if log.take_damage():
            assert not log.trials, "what is left of a damaged database is not to be trusted"
            assert list(study.glob("study.db.damaged-*")), "and is kept for whoever wants to look"


def _space(study: Path) -> Space:
    load_built_in()
    composed = StudyFolder(study).settings()["settings"]["composed"]
    return Space.from_dict(composed["space"], rest=composed["pipeline"], only=composed["only"])


def _spending(study: Path) -> object:
    tracker = BudgetTracker()
    tracker.open(study / "spending.sqlite")
    spent = tracker.snapshot()
    tracker.close()
    return spent


def _settings(study: Path) -> object:
    """Read what is known by its name: another key is no part of them."""
    return {
        name: value for name, value in StudyFolder(study).settings().items() if name in StudySettings.__annotations__
    }


# by file: how a command reads it, and how often its turn comes
_READERS: dict[str, tuple[Callable[[Path], object], int]] = {
    "study.db": (_trials, 5),
    "spending.sqlite": (_spending, 3),
    "study.json": (_settings, 1),
    "result.json": (lambda study: StudyFolder(study).result(), 1),
    "rows/0000.parquet": (lambda study: StudyFolder(study).load_rows(0), 1),
    "held_out/0000.parquet": (lambda study: StudyFolder(study).load_rows(0, "held_out"), 1),
}


def run(rounds: int, folder: Path) -> Outcome:
    """Flip a bit in one file after another, and read it as the commands do."""
    outcome, dice = Outcome(), np.random.default_rng(0)
    write_tiny(folder / "data")
    done = search(folder, folder / "outputs")
    study = folder / "outputs" / "full"
    if done.returncode != 0:
        outcome.examples.append(f"no study to damage: {done.stderr[-300:]}")
        return outcome
    _spend(study / "spending.sqlite")
    expected = {name: _plain(read(study)) for name, (read, _) in _READERS.items()}
    turns = [name for name, (_, weight) in _READERS.items() for _ in range(weight)]
    for number in range(rounds):
        outcome.rounds += 1
        name, copy = turns[number % len(turns)], folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(study, copy, ignore=shutil.ignore_patterns("outbox"))
        where = f"{name}: {flip(copy / name, dice)}"
        _look(_READERS[name][0], copy, expected[name], where, outcome)
    return outcome


def _look(read: Callable[[Path], object], study: Path, expected: object, where: str, outcome: Outcome) -> None:
    try:
        found = _plain(read(study))
    except BadStudy:
        return
    except Exception as error:  # of any class: it is what is looked for
        outcome.unclear += 1
        outcome.examples.append(f"{where}: {type(error).__name__}: {error}")
        return
    if found != expected:
        outcome.silent += 1
        outcome.examples.append(f"{where}: it is read as something else")


def _spend(path: Path) -> None:
    """Book calls, as a search with a language model does."""
    spending = SpendingFile(path)
    for number in range(_CALLS):
        cost = Usage(1, 100 + number, 7 * number, 0.001 * number)
        booked = spending.book("judge", "some-model")
        spending.settle(booked, "answered", cost.input_tokens, cost.output_tokens, cost.usd)
    spending.close()


def _plain(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
