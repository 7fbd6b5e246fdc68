"""python -m rag_opt.search [key=value ...]: find the best RAG pipeline for your documents."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from rag_opt.cli.composing import fail, run, say_download
from rag_opt.core.errors import BadInput, ModelUnusable, RagOptError

if TYPE_CHECKING:
    from rag_opt.report.live_display import Display
    from rag_opt.setup.prepare import Prepared
    from rag_opt.study.finalists import Result
    from rag_opt.study.trials import Trial, TrialLog
    from rag_opt.tracking.outbox import Outbox


def main() -> None:
    run(search)


def search(composed: dict[str, Any], conf_folders: list[Path], name_suffix: str) -> None:
    """Prepare, drive, finish. Exits with 2 for input that cannot be used, 130 when stopped."""
    from rag_opt.setup.prepare import prepare

    prepared = prepare(composed, conf_folders=conf_folders, name_suffix=name_suffix, announce=say_download)
    folder = prepared.search.folder
    try:
        with folder.lock(), stoppable() as stop:
            stored = _stored_settings(prepared, composed, conf_folders)
            before = folder.bind(prepared.digests, stored)
            _searched(prepared, _changes(before, stored) if before else None, stop)
    except KeyboardInterrupt:
        print(f"\nStopped. Every finished trial is kept; the same command resumes:\n  {resume_command()}")
        sys.exit(130)
    except BadInput:
        raise
    except ModelUnusable as error:
        fail(ModelUnusable(f"{error}; the same command goes on from there"))
    except RagOptError as error:
        fail(error)


def resume_command() -> str:
    import shlex

    return shlex.join(["python", "-m", "rag_opt.search", *sys.argv[1:]])


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What proposes from now on, where it is not what proposed before."""
    from rag_opt.core.strict import flatten

    old, new = (flatten({key: s["composed"].get(key) for key in ("sampler", "study")}) for s in (before, now))
    named = [key for key in {**old, **new} if key.startswith("sampler") or key == "study.seed"]
    return [f"{key} was {old.get(key)}, is {new.get(key)}" for key in named if old.get(key) != new.get(key)]


def _searched(prepared: Prepared, resumed: list[str] | None, stop: Stop) -> None:
    """`resumed`: for a study that is on disk already, what proposes otherwise than before."""
    from rag_opt.report.live_display import Display
    from rag_opt.study.ask_tell import run_ask_tell_loop
    from rag_opt.study.trials import TrialLog
    from rag_opt.tracking.outbox import Outbox, TrackingWorker

    search, settings = prepared.search, prepared.settings
    log = TrialLog(
        search.folder.database, search.folder.study_name, search.space, directions=search.objective_set.directions
    )
    outbox = Outbox(search.folder, enabled=settings.tracking.enabled)
    outbox.restore(log.trials, search.folder.path / "delivered")
    done = sum(trial.counts for trial in log.trials)
    budget_tracker = search.builder.budget_tracker
    budget_tracker.open(search.folder.budget_tracker)
    display = Display(
        study=search.folder.name,
        total=search.trials,
        done=done,
        sign=search.objective_set.sign,
        budget_tracker=budget_tracker,
    )
    _introduce(prepared, display)
    if resumed is not None:
        display.console.print(f"resuming: {done} of {search.trials} pipelines are already done")
        for change in resumed:
            display.console.print(f"note: from here on {change}", style="yellow")
    tracking_worker = TrackingWorker(search.folder) if settings.tracking.enabled else None
    status, patience_s = "FAILED", 5.0
    try:
        with display:
            display.note_best(log.trials)
            search.builder.progress = stop.before(display.embedding)
            run_ask_tell_loop(search, log, _Watchers(stop, display, outbox))
            result = _finished(prepared, log, display, outbox, stop)
            stop.check()
        _conclude(prepared, log.trials, result, display)
        status, patience_s = "FINISHED", float(os.environ.get("RAG_OPT_TRACKING_PATIENCE_S", "30"))
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        outbox.result(status)
        budget_tracker.close()
        search.builder.close()
        all_delivered = tracking_worker.finish(patience_s=patience_s) if tracking_worker is not None else True
    if not all_delivered:
        print(f"tracking  not all was delivered; python -m rag_opt.track {search.folder.path}")
    if result is None:
        sys.exit(1)


def _finished(prepared: Prepared, log: TrialLog, display: Display, outbox: Outbox, stop: Stop) -> Result | None:
    from rag_opt.store.artifacts import write_atomically
    from rag_opt.study.finalists import finish

    study = prepared.settings.study
    result = finish(
        prepared.search,
        log.trials,
        prepared.held_out,
        count=study.finalists,
        min_coverage=study.min_coverage,
        started=stop.before(
            lambda done, total: display.say(f"finalist {done + 1} of {total} on the untouched questions")
        ),
    )
    if result is not None:
        content = orjson.dumps(result.to_dict(), option=orjson.OPT_INDENT_2)
        write_atomically(prepared.search.folder.path / "result.json", content)
        for number in result.held_out_means:
            outbox.held_out(number)
    return result


class _Watchers:
    """Several watchers as one."""

    def __init__(self, *watchers: Any) -> None:
        self._watchers = watchers

    def trial_started(self, number: int, spec: Any, origin: str) -> None:
        for watcher in self._watchers:
            watcher.trial_started(number, spec, origin)

    def trial_finished(self, trial: Trial, done: int) -> None:
        for watcher in self._watchers:
            watcher.trial_finished(trial, done)

    def note(self, text: str) -> None:
        for watcher in self._watchers:
            watcher.note(text)

    def swept(self, number: int, found: Any) -> None:
        for watcher in self._watchers:
            watcher.swept(number, found)


def _introduce(prepared: Prepared, display: Display) -> None:
    """What will be searched, on what, and what it can show, before anything is spent."""
    from rag_opt.evaluation.intervals import smallest_gains_in_words

    search, dataset, say = prepared.search, prepared.dataset, display.console.print
    size = search.space.size
    held_out = len(prepared.held_out)
    characters = dataset.corpus.characters
    say(
        f"[bold]{search.folder.name}[/]  {len(dataset.corpus.documents)} documents, {characters:,} characters, "
        f"{len(dataset.questions)} questions: {len(search.questions)} to search on, {held_out} untouched until the end"
    )
    say(prepared.split.basis, style="dim")
    for note in [*prepared.notes, *search.builder.store.notes]:
        say(f"note: {note}", style="yellow")
    say(f"space: {'endless' if size is None else f'{size:,}'} pipelines")
    for line in _space_lines(search.space.to_dict()):
        say(line, style="dim", soft_wrap=True)
    objectives = " against ".join(one.kind for one in (search.objective_set.optimised, *search.objective_set.against))
    say(f"objective: {objectives}; {smallest_gains_in_words(held_out or len(search.questions))}")


def _space_lines(space: Mapping[str, Any]) -> Iterator[str]:
    for slot, kinds in space.items():
        if slot == "forbid":
            if kinds:
                yield f"  forbid     {kinds}"
            continue
        for number, (kind, parameters) in enumerate(kinds.items()):
            inside = "  ".join(f"{name}={value}" for name, value in parameters.items())
            yield f"  {slot if number == 0 else '':<10} {kind:<11} {inside}"


def _conclude(prepared: Prepared, trials: list[Trial], result: Result | None, display: Display) -> None:
    from rag_opt.data.question_lines import origins
    from rag_opt.report.summary import closing
    from rag_opt.tracking.mlflow_runs import is_local, tracking_uri, without_password

    folder, settings = prepared.search.folder, prepared.settings
    if result is None:
        tried = any(trial.state == "COMPLETE" for trial in trials)
        why = "could be scored well enough to win" if tried else "was tried to its end"
        display.console.print(f"No pipeline {why}; see the reasons above.", style="red")
        return
    uri = tracking_uri({"uri": settings.tracking.uri}, Path(settings.outputs))
    ours = uri == tracking_uri({}, Path(settings.outputs)) and "MLFLOW_TRACKING_URI" not in os.environ
    short = f"sqlite:///{Path(settings.outputs).as_posix()}/mlflow.db" if ours else uri
    look = f"python -m mlflow ui --backend-store-uri {short}" if is_local(uri) else without_password(uri)
    places = {"look": look if settings.tracking.enabled else "tracking is off"}
    places["export"] = f"python -m rag_opt.export {folder.path} --out bundle/"
    display.console.print()
    objective_set = prepared.search.objective_set
    objectives = [one.kind for one in (objective_set.optimised, *objective_set.against)]
    made = origins(prepared.dataset.questions)
    display.console.print(closing(result, trials, objectives=objectives, places=places, questions=made))


def _stored_settings(prepared: Prepared, composed: Mapping[str, Any], conf_folders: list[Path]) -> dict[str, Any]:
    from rag_opt.core import strict as config
    from rag_opt.data.question_lines import origins
    from rag_opt.tracking.mlflow_runs import without_password

    # where results go is decided now, not by the shell that delivers what was left
    tracking = config.dump(prepared.settings.tracking)
    place = tracking["uri"] or os.environ.get("MLFLOW_TRACKING_URI")
    tracking["uri"] = place if place is None or place == without_password(place) else None  # then that shell has to say
    return {
        "composed": {key: value for key, value in composed.items() if key != "tracking"},
        "tracking": tracking,
        "dataset_name": prepared.dataset.name,
        "questions": origins(prepared.dataset.questions),
        "conf_folders": [str(folder) for folder in conf_folders],
        "cwd": str(Path.cwd()),  # what relative paths of the data set are relative to
    }


class Stop:
    """Whether a stop was asked for. A watcher of the search: no trial and no batch of texts begins after that.

    An interrupt that comes while Python runs a finalizer is swallowed by it; this one is not forgotten.
    """

    def __init__(self) -> None:
        self.asked = False

    def check(self) -> None:
        if self.asked:
            raise KeyboardInterrupt

    def trial_started(self, number: int, spec: Any, origin: str) -> None:
        self.check()

    def before(self, progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
        """The same watcher of progress, which stops when that was asked for."""

        def told(done: int, total: int) -> None:
            self.check()
            progress(done, total)

        return told

    def trial_finished(self, trial: Trial, done: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def swept(self, number: int, found: Any) -> None:
        pass


@contextmanager
def stoppable() -> Iterator[Stop]:
    """SIGTERM stops as Ctrl-C does: cleanly, with everything finished kept. A second signal stops at once."""
    asked = Stop()

    def stop(number: int, frame: object) -> None:
        asked.asked = True
        for again in (signal.SIGINT, signal.SIGTERM):
            signal.signal(again, lambda *_: os._exit(130))
        raise KeyboardInterrupt

    def unraisable(what: Any) -> None:
        if what.exc_type is not KeyboardInterrupt:
            shown(what)

    shown, sys.unraisablehook = sys.unraisablehook, unraisable
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        sys.unraisablehook = shown
        for number, handler in before.items():
            signal.signal(number, handler)
