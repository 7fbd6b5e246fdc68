"""What a trial costs whose artifacts are all stored: proposing, rows, Optuna's database, the note for tracking."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from rag_opt.cli.composing import collect_seldom, conf_folder
from rag_opt.pipeline.spec import SpecDict
from rag_opt.setup.prepare import Prepared, prepare
from rag_opt.study import ask_tell as driver
from rag_opt.study import racing_evaluator as trying
from rag_opt.study.evaluation import Evaluation
from rag_opt.study.trials import Trial, TrialLog
from rag_opt.tracking.mlflow_runs import MlflowStudy
from rag_opt.tracking.outbox import Outbox
from rag_opt.tracking.worker import Delivery

REAL_EVALUATE = trying.evaluate


def prepared_search(outputs: Path, name: str, *overrides: str) -> Prepared:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("search", [f"outputs={outputs}", f"study.name={name}", *overrides])
    plain: Any = OmegaConf.to_container(config, resolve=True)
    prepared = prepare(plain, conf_folders=[conf_folder()])
    facts = {"composed": plain, "tracking": plain["tracking"], "dataset_name": prepared.dataset.name}
    prepared.search.folder.path.mkdir(parents=True, exist_ok=True)
    prepared.search.folder.bind(prepared.digests, facts)
    return prepared


class Stopwatch:
    """Around the evaluation: how long it takes, and how long from the end of one to the start of the next."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.evaluating: list[float] = []
        self.between: list[float] = []
        self._ended = 0.0

    def trial_started(self, number: int, spec: SpecDict, origin: str) -> None:
        pass

    def trial_finished(self, trial: Trial, done: int) -> None:
        self._outbox.trial_finished(trial, done)

    def note(self, text: str) -> None:
        pass

    def sweep_finished(self, number: int, sweep: object) -> None:
        pass

    def evaluate(self, *given: Any, **named: Any) -> Evaluation:
        started = time.perf_counter()
        if self._ended:
            self.between.append(started - self._ended)
        done = REAL_EVALUATE(*given, **named)
        self._ended = time.perf_counter()
        self.evaluating.append(self._ended - started)
        return done


def run_ask_tell_loop(prepared: Prepared) -> tuple[Stopwatch, Outbox]:
    search = prepared.search
    log = TrialLog(search.folder.database, search.folder.name, search.space, directions=["maximize"])
    outbox = Outbox(search.folder)
    watch = Stopwatch(outbox)
    trying.evaluate = watch.evaluate
    try:
        driver.run_ask_tell_loop(search, log, watch)
    finally:
        trying.evaluate = REAL_EVALUATE
        search.builder.close()
    return watch, outbox


def measure() -> list[tuple[str, str, str]]:
    collect_seldom()  # as the command does
    with tempfile.TemporaryDirectory() as folder:
        run_ask_tell_loop(prepared_search(Path(folder), "cold"))
        warm = prepared_search(Path(folder), "warm")
        watch, outbox = run_ask_tell_loop(warm)
        MlflowStudy(warm.search.folder)  # makes the database
        delivery = Delivery(warm.search.folder)
        started = time.perf_counter()
        delivered = delivery.deliver_waiting()
        each = (time.perf_counter() - started) / delivered
        left = outbox.waiting()
    between = statistics.median(watch.between) * 1000
    slow = sorted(watch.between)[int(len(watch.between) * 0.95)] * 1000
    asking = statistics.median(watch.evaluating) * 1000
    return [
        ("bookkeeping of a trial, all stored, median of 40", f"{between:.0f} ms (p95 {slow:.0f} ms)", "at most 50 ms"),
        ("asking and scoring 145 questions, all stored, median", f"{asking:.0f} ms", ""),
        (f"MLflow behind it, a trial ({left} left)", f"{each * 1000:.0f} ms", "at most 150 ms"),
    ]
