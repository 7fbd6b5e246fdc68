"""A search from its prepared inputs to its result: the ask-tell loop, its display, its tracking, its end."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rag_opt.cli.composing import announce, fail
from rag_opt.cli.conclusion import conclude, facts_for_the_report, print_addresses
from rag_opt.cli.introduction import introduce
from rag_opt.cli.signals import Stop, describe_stop, stoppable
from rag_opt.core import strict
from rag_opt.core.errors import BadInput, ModelUnusable, RagOptError
from rag_opt.core.faults import explain_fault
from rag_opt.core.secrets import is_secret
from rag_opt.core.strict import PlainDict, PlainMapping
from rag_opt.data.question_lines import describe_origins
from rag_opt.pipeline.spec import PipelineSpec, SpecDict
from rag_opt.pipeline.spec_yaml import WINNER, to_yaml
from rag_opt.report.live_display import LiveDisplay
from rag_opt.report.writing import ReportWriter, text_of
from rag_opt.setup.prepare import Prepared, prepare
from rag_opt.store.upkeep import total_bytes
from rag_opt.study.ask_tell import run_ask_tell_loop
from rag_opt.study.cost.model import UNIT_SECONDS
from rag_opt.study.finalists import choose_winner
from rag_opt.study.interfaces import Watcher
from rag_opt.study.recovery import recover_rows
from rag_opt.study.result import Result
from rag_opt.study.running_baseline import RUNNING, describe_running
from rag_opt.study.space.composed import searched_paths
from rag_opt.study.sweep import Sweep
from rag_opt.study.trials import Trial, TrialLog
from rag_opt.tracking.outbox import Outbox, TrackingWorker

_LEAST_MB = 5  # databases and one index


def search_command(composed: PlainDict, conf_folders: list[Path], name_suffix: str) -> Path:
    """Search as the terminal asks, and return the study's folder.

    Exits with 2 for input that cannot be used, 1 without a winner, 130 or 143 when stopped.
    """
    try:
        prepared = prepare(
            composed, conf_folders=conf_folders, name_suffix=name_suffix, announce=announce, reading=announce
        )
    except Exception as error:  # of any class: a fault of the machine is told with the places that are written to
        told = explain_fault(error, [Path(str(composed.get("outputs"))), Path(tempfile.gettempdir())])
        if told is None:
            raise
        fail(told)
    console = Console(file=sys.stdout, highlight=False)
    stop = Stop()
    try:
        with stoppable(stop):
            result = run_session(prepared, composed, conf_folders, console=console, stop=stop)
    except KeyboardInterrupt:
        print(describe_stop())
        sys.exit(stop.exit_code)
    except BadInput:
        raise
    except ModelUnusable as error:
        fail(ModelUnusable(f"{error}; the same command goes on from there"))
    except RagOptError as error:
        fail(error)
    if result is None:
        sys.exit(1)
    return prepared.search.folder.path


def run_session(
    prepared: Prepared, composed: PlainMapping, conf_folders: Sequence[Path], *, console: Console, stop: Stop
) -> Result | None:
    """Search, and return what came out; None where no pipeline could win. Everything finished is on disk at any time.

    Raises RagOptError where the search cannot go on, KeyboardInterrupt where it was stopped.
    """
    folder = prepared.search.folder
    try:
        with folder.lock():
            stored = _stored_settings(prepared, composed, conf_folders)
            before = folder.bind(prepared.digests, stored, prepared.runtimes)
            changes = sampler_changes(before, stored) if before else None
            return _run(prepared, changes, console=console, stop=stop)
    except Exception as error:  # of any class: a fault of the machine is told as one, all else goes on as it is
        told = _explain_fault(error, prepared)
        if told is None or told is error:
            raise
        raise told from error


def _explain_fault(error: Exception, prepared: Prepared) -> RagOptError | None:
    """Return the error that a person is told, of a fault of the machine with the room that the search needs."""
    if isinstance(error, RagOptError):
        return error
    store, folder = prepared.search.builder.store, prepared.search.folder
    done, megabytes = len(list(folder.path.glob("rows/*.parquet"))), total_bytes(store.root) / 1e6
    left = max(prepared.search.trials - done, 0)
    if done:
        needs = f"about {megabytes / done * left:,.0f} MB, as the store has {megabytes:,.0f} MB after {done} trials"
    else:
        needs = f"at least {max(prepared.dataset.corpus.characters * 2 / 1e6, _LEAST_MB):,.0f} MB"
    return explain_fault(error, prepared.search.places, needs=f"needed: {needs}")


def sampler_changes(before: PlainMapping, now: PlainMapping) -> list[str]:
    """Return the sampler settings, and the seed, that changed since the last run of a study."""
    old, new = (
        strict.flatten({key: stored["composed"].get(key) for key in ("sampler", "study")}) for stored in (before, now)
    )
    named = [key for key in {**old, **new} if key.startswith("sampler") or key == "study.seed"]
    return [f"{key} was {old.get(key)}, is {new.get(key)}" for key in named if old.get(key) != new.get(key)]


def _run(prepared: Prepared, changes: list[str] | None, *, console: Console, stop: Stop) -> Result | None:
    """Search under the study's lock. `changes`: for a study that is on disk already, what differs from before."""
    search, tracking = prepared.search, prepared.settings.tracking
    directions = search.objective_set.directions
    log = TrialLog(
        search.folder.database,
        search.folder.study_name,
        search.space,
        directions=directions,
        guards=search.guards,
    )
    log.keep_binding(search.folder.binding)
    log.name_objectives([one.kind for one in search.objective_set.compared])
    outbox = Outbox(search.folder, enabled=tracking.enabled)
    outbox.restore(log.trials, search.folder.path / "delivered")
    search.builder.budget_tracker.open(search.folder.spending_database)
    display = _new_display(prepared, log, changes, console)
    worker = TrackingWorker(search.folder) if tracking.enabled else None
    status, patience_s = "FAILED", 5.0
    try:
        with display:
            search.folder.damage += (*log.take_damage(), *recover_rows(search, log.trials))
            for text in search.folder.damage:
                display.note(text)
            display.note_best(log.trials)
            for word in ("skip", "finish"):
                search.folder.forget(word)  # of an earlier run
            search.builder.progress = stop.before(display.show_embedding)
            report = ReportWriter(search.folder.path, text_of(search.builder.readings), display.note)
            for line in describe_running(search, prepared.held_out):
                display.note(line)
            run_ask_tell_loop(search, log, _Watchers(stop, display, outbox, report))
            result = _compare_finalists(prepared, log, display, outbox, stop)
            stop.check()
            page = report.write() if log.trials else None
            if result is not None and tracking.enabled:
                report.keep_passages(search.folder)
                _note_evaluations(result, outbox)
        conclude(prepared, log.trials, result, display, page)
        status, patience_s = "FINISHED", float(os.environ.get("RAG_OPT_TRACKING_PATIENCE_S", "30"))
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        outbox.result(status)
        search.builder.budget_tracker.close()
        search.builder.close()
        all_delivered = worker.finish(patience_s=patience_s) if worker is not None else True
    if tracking.enabled and result is not None:
        print_addresses(prepared, console)
    if not all_delivered:
        console.print(f"tracking  not all was delivered; python -m rag_opt.track {search.folder.path}")
    return result


def _new_display(prepared: Prepared, log: TrialLog, changes: list[str] | None, console: Console) -> LiveDisplay:
    """Return the display of a search, with its introduction printed."""
    search = prepared.search
    done = search.count_tried(log.trials)
    introduce(prepared, console)
    if changes is not None:
        console.print(f"resuming: {done} of {search.trials} pipelines are already done")
        for change in changes:
            console.print(f"note: from here on {change}", style="yellow")
    return LiveDisplay(
        study=search.folder.name,
        total=search.trials,
        done=done,
        sign=search.objective_set.sign,
        budget_tracker=search.builder.budget_tracker,
        console=console,
        searched=searched_paths(search.space),
        objective=search.objective_set.optimised.kind,
    )


def _note_evaluations(result: Result, outbox: Outbox) -> None:
    """Leave notes for the evaluation runs: winner, baseline, the other finalists."""
    for number in result.held_out_means.keys() - {RUNNING}:
        role = "winner" if number == result.winner else "baseline" if number == result.baseline else "finalist"
        outbox.evaluation(number, role)


def _compare_finalists(
    prepared: Prepared, log: TrialLog, display: LiveDisplay, outbox: Outbox, stop: Stop
) -> Result | None:
    """Ask the finalists the held-out questions, and write the result."""
    study = prepared.settings.study

    def started(done: int, total: int) -> None:
        display.say(f"finalist {done + 1} of {total} on the held-out questions")

    result = choose_winner(
        prepared.search,
        log.trials,
        prepared.held_out,
        prepared.split,
        count=study.finalists,
        started=stop.before(started),
    )
    if result is not None:
        folder = prepared.search.folder
        folder.save_result(result.to_dict())
        about = f"The winner of {folder.name}: trial {result.winner}, {result.why}."
        (folder.path / WINNER).write_text(to_yaml(PipelineSpec.from_dict(result.spec), about=about), "utf-8")
        for number in result.held_out_means.keys() - {RUNNING}:
            outbox.held_out(number)
    return result


class _Watchers:
    """Several watchers as one."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def trial_started(self, number: int, spec: SpecDict, origin: str) -> None:
        for watcher in self._watchers:
            watcher.trial_started(number, spec, origin)

    def trial_finished(self, trial: Trial, done: int) -> None:
        for watcher in self._watchers:
            watcher.trial_finished(trial, done)

    def note(self, text: str) -> None:
        for watcher in self._watchers:
            watcher.note(text)

    def sweep_finished(self, number: int, sweep: Sweep) -> None:
        for watcher in self._watchers:
            watcher.sweep_finished(number, sweep)


def _stored_settings(prepared: Prepared, composed: PlainMapping, conf_folders: Sequence[Path]) -> PlainDict:
    """Return what the study keeps of its settings: enough to resume, to deliver and to export it."""
    # where results go is decided now, not by the shell that delivers what was left
    tracking = strict.dump(prepared.settings.tracking)
    place = tracking["uri"] or os.environ.get("MLFLOW_TRACKING_URI")
    tracking["uri"] = None if place is None or is_secret(place) else place  # then that shell has to say
    return {
        "composed": {key: value for key, value in composed.items() if key != "tracking"},
        "tracking": tracking,
        "dataset_name": prepared.dataset.name,
        "questions": describe_origins(prepared.dataset.questions),
        "report": facts_for_the_report(prepared),
        "unit_costs": dict(UNIT_SECONDS),  # what proposals weigh work by, beside the sizes of models
        "conf_folders": [str(folder) for folder in conf_folders],
        "cwd": str(Path.cwd()),  # what relative paths of the data set are relative to
    }
