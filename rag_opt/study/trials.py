"""Finished trials: one record each, kept in an Optuna study in memory for sampling and in SQLite for ever."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sqlite3
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar

import optuna
import orjson
from optuna.trial import FrozenTrial, TrialState

from rag_opt.core.digests import checksum
from rag_opt.core.errors import BadStudy
from rag_opt.core.faults import find_causes, find_fault, tells_of_fault
from rag_opt.core.sqlite_files import is_damage, move_database
from rag_opt.core.strict import PlainDict
from rag_opt.evaluation.guards import Guards
from rag_opt.evaluation.interfaces import Direction
from rag_opt.pipeline.spec import SpecDict
from rag_opt.study.samplers.proposals import to_distribution
from rag_opt.study.space.space import Space

T = TypeVar("T")
State = Literal["COMPLETE", "PRUNED", "FAIL"]
INDEX_RECALL = "retrieval/index_recall"  # of a graph, when it was built
_BINDING = "binding"
_UNREADABLE = (BadStudy, ValueError, LookupError, TypeError, AttributeError)  # what Optuna stumbles over in odd records
_ATTRIBUTES = ("spec", "origin", "reason")
_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAIL: "FAIL",
}


@dataclass(frozen=True)
class Trial:
    """One pipeline, tried.

    `value` is None unless COMPLETE; `reason` says why not. `others`: values of the objectives that are optimised
    against it. `asked`: how many questions it was asked; `raced`: it lost a race, with `partial` the
    value that it would have had by what it lost to the best one on those.
    `error`: standard error of the value over questions. `coverage`: share of the questions that the objective could
    score. `metrics`: aggregated numbers by name. `truncated_chunks`: chunks longer than the model reads.
    `approximate_indexes`: those whose lists another build of the same vectors might change.

    `computed` and `reused`: values and artifacts per stage. `stages`: work and seconds per stage of the plan, "rest"
    for all else; `made`: the same of everything that it is made of, as it took when that was first done.

    `in_space`: False for a reference pipeline that the space leaves out. `damage`: what was found damaged in the store
    while it was evaluated, and was made again. `rows_digest`: hash of the file of its rows.

    `outside`: guards that it broke when it was finished, with how far it was outside.

    `paid`: what language models were paid for it, by who asked and what (`judge/usd`). `used`: calls and dollars that
    its answers and verdicts cost when they were first given. `failures`: why questions have no answer or verdict, with
    how many.
    """

    number: int
    state: State
    spec: SpecDict
    origin: str
    value: float | None = None
    others: tuple[float, ...] = ()
    partial: float | None = None
    asked: int = 0
    raced: bool = False
    error: float | None = None
    coverage: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    computed: dict[str, int] = field(default_factory=dict)
    reused: dict[str, int] = field(default_factory=dict)
    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    made: dict[str, tuple[float, float]] = field(default_factory=dict)
    paid: dict[str, float] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    truncated_chunks: int = 0
    approximate_indexes: int = 0
    outside: dict[str, float] = field(default_factory=dict)
    in_space: bool = True
    damage: tuple[str, ...] = ()
    rows_digest: str = ""
    reason: str = ""
    started: str = ""

    @property
    def is_counted(self) -> bool:
        """True unless it cannot exist, or the machine failed it."""
        return (self.state != "PRUNED" or self.raced) and not self.met_a_fault

    @property
    def met_a_fault(self) -> bool:
        """True for a trial that the machine failed, as earlier versions kept them: it is tried again."""
        by_server = self.reason.startswith(("ServerFailed", "ServerDown", "ModelUnusable"))  # of another machine
        return self.state == "FAIL" and not by_server and tells_of_fault(self.reason)

    @property
    def values(self) -> list[float] | None:
        """Values of all objectives that are optimised; None unless COMPLETE."""
        return None if self.value is None else [self.value, *self.others]


def to_frozen_trial(trial: Trial, space: Space, constraints: Mapping[str, float] = MappingProxyType({})) -> FrozenTrial:
    """Return the trial as Optuna keeps it: parameters by path where it is of this space, the rest as attributes.

    `constraints`: by guard how far it is outside, 0 or less inside.
    """
    chosen = space.parameters(trial.spec) or {}
    record = dataclasses.asdict(trial)
    # every attribute is a row of the database and a millisecond: those that people read apart, the rest together
    attributes = {name: record.pop(name) for name in _ATTRIBUTES if record[name]}
    attributes["record"] = {name: value for name, value in record.items() if name not in ("number", "state", "value")}
    attributes["checksum"] = _checksum(trial.number, trial.state, trial.value, attributes)
    frozen = optuna.trial.create_trial(
        state=TrialState[trial.state],
        values=trial.values,
        intermediate_values={} if trial.partial is None else {trial.asked: trial.partial},
        params={path: value for path, (value, _) in chosen.items()},
        distributions={path: to_distribution(domain) for path, (_, domain) in chosen.items()},
        user_attrs=attributes,
        constraints=dict(constraints) or None,
    )
    if trial.started:
        frozen.datetime_start = dt.datetime.fromisoformat(trial.started).replace(tzinfo=None)
        frozen.datetime_complete = frozen.datetime_start + dt.timedelta(seconds=trial.seconds)
    return frozen


def from_frozen_trial(frozen: FrozenTrial) -> Trial:
    """Return the trial that `to_frozen_trial` wrote. Raises BadStudy where it is not what was written."""
    attributes = dict(frozen.user_attrs)
    written = attributes.pop("checksum", None)  # older versions wrote none
    value = frozen.values[0] if frozen.state == TrialState.COMPLETE and frozen.values else None
    state = _STATES[frozen.state]
    if written is not None and written != _checksum(frozen.number, state, value, attributes):
        raise BadStudy(f"trial {frozen.number} is not what was written: it does not match its checksum")
    attributes |= attributes.pop("record")
    for name in ("others", "damage"):
        attributes[name] = tuple(attributes.get(name, ()))
    for name in ("stages", "made"):
        attributes[name] = {stage: tuple(pair) for stage, pair in attributes.get(name, {}).items()}
    return Trial(number=frozen.number, state=state, value=value, **attributes)


def _checksum(number: int, state: str, value: float | None, attributes: Mapping[str, object]) -> str:
    """Return a checksum over what is written of a trial, whatever fields later versions add."""
    content = [number, state, value, attributes]
    return checksum(orjson.dumps(content, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)).hex()


class TrialLog:
    """Finished trials of one study. Each is added to the disk in one transaction.

    `sampling`: the Optuna study in memory that samplers read, with the guards that hold now as constraints; on disk are
    those that held when a trial was finished. `trials`: all of them, in the order of their numbers.
    A damaged database is set aside: without its trials the search evaluates them again, from what is stored.
    """

    def __init__(
        self,
        database: Path,
        name: str,
        space: Space,
        *,
        directions: Sequence[Direction],
        guards: Guards | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._guards = space, guards or Guards()
        self._database, self._name, self._directions = database, name, tuple(directions)
        self._damage: list[str] = []
        self._disk, self.trials = self._open_disk()
        self.sampling = optuna.create_study(directions=directions)
        for trial in self.trials:
            self.sampling.add_trial(self._freeze(trial))

    def _new_disk(self) -> optuna.Study:
        storage = open_storage(self._database)
        return optuna.create_study(
            storage=storage, study_name=self._name, directions=self._directions, load_if_exists=True
        )

    def _open_disk(self) -> tuple[optuna.Study, list[Trial]]:
        """Return the study on disk and its trials; a damaged database is set aside, and a new one begun."""
        there = self._database.exists()
        try:
            disk = self._new_disk()
            return disk, [from_frozen_trial(frozen) for frozen in disk.get_trials(deepcopy=False)]
        except Exception as error:  # Optuna and SQLAlchemy wrap SQLite's in classes of their own
            damaged = tells_of_damage(error, self._database) or isinstance(error, _UNREADABLE)
            if not there or not damaged:
                raise
            self._damage.append(set_aside(self._database, (str(error) or type(error).__name__).splitlines()[0]))
        return self._new_disk(), []

    def _freeze(self, trial: Trial) -> FrozenTrial:
        return to_frozen_trial(trial, self._space, self.excesses(trial))

    def excesses(self, trial: Trial) -> dict[str, float]:
        """Return by guard how far a complete trial is outside of it, 0 or less inside.

        None for one that was not asked all questions: the baseline was, and some are harder than others.
        """
        if trial.value is None:
            return {}
        return self._guards.excesses(trial.metrics, find_baseline_metrics([*self.trials, trial]))

    def take_damage(self) -> list[str]:
        """Return what was found damaged on disk since this was asked last, in words."""
        damage, self._damage = self._damage, []
        return damage

    def keep_binding(self, binding: PlainDict) -> None:
        """Keep a copy of what the study is bound to, for the day that `study.json` is lost."""
        if self._disk.user_attrs.get(_BINDING) != binding:
            self._disk.set_user_attr(_BINDING, binding)

    def name_objectives(self, names: Sequence[str]) -> None:
        """Name the objectives, as optuna-dashboard shows them."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if self._disk.metric_names != list(names):
                self._disk.set_metric_names(list(names))

    def commit(self, trial: Trial, proposed: optuna.Trial | None) -> None:
        """Write a finished trial, and tell the open Optuna trial that it was proposed as, if there is one."""
        frozen = self._freeze(trial)
        try:
            self._disk.add_trial(frozen)
        except Exception as error:  # Optuna and SQLAlchemy wrap SQLite's in classes of their own
            if not tells_of_damage(error, self._database):
                raise
            self._damage.append(set_aside(self._database, str(error)))
            self._disk = self._new_disk()
            for known in (*self.trials, trial):
                self._disk.add_trial(self._freeze(known))
        if proposed is None:
            self.sampling.add_trial(frozen)
        else:
            if trial.partial is not None:
                proposed.report(trial.partial, step=trial.asked)
            for name, excess in self.excesses(trial).items():
                proposed.set_constraint(name, excess)
            self.sampling.tell(proposed, trial.values, state=TrialState[trial.state])
        self.trials.append(trial)


def find_baseline_metrics(trials: Sequence[Trial]) -> dict[str, float] | None:
    """Return the metrics of the baseline; None where it is not among the trials, or could not be evaluated."""
    return next((t.metrics for t in trials if t.origin == "baseline" and t.state == "COMPLETE"), None)


def tells_of_damage(error: BaseException, database: Path) -> bool:
    """Return whether an error, or what it came from, says that the database is damaged."""
    return any(isinstance(one, sqlite3.Error) and is_damage(one, database) for one in find_causes(error))


def set_aside(database: Path, damage: str) -> str:
    """Move a damaged database away, and return what was done in words."""
    aside = database.with_name(f"{database.name}.damaged-{time.time_ns()}")
    move_database(database, aside)
    return f"{database} was damaged ({damage}); set aside as {aside}, and its trials are evaluated again from the store"


def open_storage(database: Path) -> optuna.storages.RDBStorage:
    """Return Optuna's storage in a SQLite file."""
    return optuna.storages.RDBStorage(f"sqlite:///{database.resolve().as_posix()}")


def load_direction(database: Path, name: str) -> int:
    """Return +1 for a study on disk whose (first) objective is maximised, else -1."""
    return read_study(
        database, name, lambda study: 1 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else -1
    )


def load_trials(database: Path, name: str) -> list[Trial]:
    """Return all finished trials of a study on disk, in the order of their numbers."""
    return read_study(
        database, name, lambda study: [from_frozen_trial(one) for one in study.get_trials(deepcopy=False)]
    )


def load_binding(database: Path) -> PlainDict | None:
    """Return what a database says that its study is bound to (`keep_binding`); None where it cannot be read."""
    try:
        storage = open_storage(database)
        (name,) = optuna.get_all_study_names(storage)
        bound: PlainDict | None = optuna.load_study(study_name=name, storage=storage).user_attrs.get(_BINDING)
    except Exception as error:  # whatever Optuna and SQLAlchemy make of a damaged file
        if find_fault(error) is not None:
            raise
        return None
    return bound


def read_study(database: Path, name: str, read: Callable[[optuna.Study], T]) -> T:
    """Return what `read` finds in a study. Raises BadStudy where it cannot be read."""
    try:
        return read(optuna.load_study(study_name=name, storage=open_storage(database)))
    except Exception as error:  # whatever Optuna and SQLAlchemy make of a damaged file
        if find_fault(error) is not None:
            raise
        first = f"{type(error).__name__}: {error}".splitlines()[0]
        raise BadStudy(
            f"{database} cannot be read ({first}); give the search's command again: it evaluates the trials anew, from "
            "what is stored"
        ) from error
