"""Commands as a person runs them: in a process of their own, in a folder of their own.

Each is forked from a server that has imported the large libraries once: importing them is most of what a search over
ten questions takes. `test_stopping` and `test_main` start interpreters of their own.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rag_opt.study.trials import Trial, load_trials
from tests.conftest import write_tiny

Command = Callable[..., subprocess.CompletedProcess[str]]


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


@pytest.fixture(scope="session")
def command(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    context, logs = multiprocessing.get_context("forkserver"), tmp_path_factory.mktemp("logs")
    context.set_forkserver_preload(["tests.cli.preloaded"])

    def run(name: str, *arguments: str, timeout: float = 120, **more: str) -> subprocess.CompletedProcess[str]:
        given = (f"rag_opt.{name}", arguments, workplace, environment(**more), logs)
        process = context.Process(target=run_module, args=given)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired([name, *arguments], timeout)
        out, err = (log.read_text(encoding="utf-8", errors="replace") for log in logs_of(logs, process.pid))
        return subprocess.CompletedProcess([name, *arguments], process.exitcode, out, err)

    return run


def logs_of(folder: Path, process: int | None) -> tuple[Path, Path]:
    return folder / f"{process}.out", folder / f"{process}.err"


def run_module(name: str, arguments: Sequence[str], place: Path, variables: dict[str, str], logs: Path) -> None:
    """Run a module as `python -m` does, in this process, which was forked for it."""
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
