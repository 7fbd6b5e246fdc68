"""Commands as a person runs them: in a process of their own, in a folder of their own.

Each is forked from a server that has imported the large libraries once: importing them is most of what a search over
ten questions takes. What has to begin with nothing imported starts an interpreter of its own (`environment`).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest

from rag_opt.study.trials import Trial, load_trials
from tests.conftest import write_tiny


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**kept, "HF_HUB_OFFLINE": "1", "COLUMNS": "200", "PYTHONUNBUFFERED": "1", **more}


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all command tests: they share its store, so that texts are embedded once."""
    folder = tmp_path_factory.mktemp("workplace")
    write_tiny(folder / "data")
    return folder


@pytest.fixture(scope="session")
def tiny(workplace: Path) -> list[str]:
    """Overrides: the tiny data set, a tiny space, no tracking."""
    return [
        "dataset=folder",
        "dataset.documents=data/docs",
        "dataset.questions=data/questions.jsonl",
        "dataset.name=tiny",
        "space.chunker.recursive.size=[16, 32]",
        "space.chunker.recursive.overlap=0.0",
        "pipeline.chunker.recursive.size=32",
        "only.chunker=recursive",
        "only.embedder=model",
        "space.embedder.model.dimensions=null",
        "sampler=tpe",
        "sampler.tpe.startup_trials=2",  # with both reference pipelines TPE proposes from the first trial on
        "sampler.sweep=on",
        "runtime=torch",  # nothing to compile for so few texts
        "study.finalists=2",  # the end of a search is most of one over ten questions
        "tracking=none",
    ]


class Started:
    """A command that runs, in a process group of its own."""

    def __init__(self, process: ForkServerProcess, name: str, logs: Path) -> None:
        assert process.pid is not None
        self.pid, self._process, self._name, self._logs = process.pid, process, name, logs

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and all that it started, as -9 does."""
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(self.pid, signal.SIGKILL)
        self._process.join()

    def finish(self, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Wait for its end; return what it printed."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            self.kill()
            raise subprocess.TimeoutExpired(self._name, timeout)
        out, err = (log.read_text(encoding="utf-8", errors="replace") for log in logs_of(self._logs, self.pid))
        return subprocess.CompletedProcess(self._name, code, out, err)


class Command:
    """Runs `python -m rag_opt.NAME ARGUMENTS` in the folder of all command tests; `more`: environment variables."""

    def __init__(self, context: ForkServerContext, workplace: Path, logs: Path) -> None:
        self._context, self._workplace, self._logs = context, workplace, logs

    def start(self, name: str, *arguments: str, **more: str) -> Started:
        given = (f"rag_opt.{name}", arguments, self._workplace, environment(**more), self._logs)
        process = self._context.Process(target=run_module, args=given)
        process.start()
        return Started(process, name, self._logs)

    def __call__(
        self, name: str, *arguments: str, timeout: float = 120, **more: str
    ) -> subprocess.CompletedProcess[str]:
        return self.start(name, *arguments, **more).finish(timeout)


@pytest.fixture(scope="session")
def command(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.cli.preloaded"])
    return Command(context, workplace, tmp_path_factory.mktemp("logs"))


def logs_of(folder: Path, process: int) -> tuple[Path, Path]:
    return folder / f"{process}.out", folder / f"{process}.err"


def run_module(name: str, arguments: Sequence[str], place: Path, variables: dict[str, str], logs: Path) -> None:
    """Run a module as `python -m` does, in this process, which was forked for it."""
    os.setsid()
    for number, log in enumerate(logs_of(logs, os.getpid()), start=1):
        os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY), number)
    os.chdir(place)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[0] = str(place)
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


@pytest.fixture(scope="session")
def finished(command: Command, tiny: list[str], workplace: Path) -> Path:
    """A finished study of eight pipelines, other command tests reuse its store."""
    done = command("search", *tiny, "study.name=first", "study.trials=8")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "winner" in done.stdout and "gain" in done.stdout and "export" in done.stdout
    assert "4 held-out questions in 4 split units can show no gain, however large" in " ".join(done.stdout.split())
    assert "refused wrongly" in done.stdout and "context tokens" in done.stdout, "what a gain may have cost"
    return workplace / "outputs" / "first"


def trials_of(study: Path) -> list[Trial]:
    return load_trials(study / "study.db", study.name)
