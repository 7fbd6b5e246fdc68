"""Commands as a person runs them: in a process of their own, in a folder of their own.

Each is forked from a server that has imported the large libraries once: importing them is most of what a search over
ten questions takes. What has to begin with nothing imported starts an interpreter of its own (`environment`).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_opt.study.trials import Trial, load_trials
from tests.cli.fork_server import ask, connect, logs_of
from tests.conftest import shared_folder, write_tiny


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

    def __init__(self, connection: socket.socket, name: str, logs: Path) -> None:
        self._connection, self._answers = connection, connection.makefile("r")
        self.pid, self._name, self._logs = int(self._answers.readline()), name, logs

    @property
    def is_running(self) -> bool:
        return not select.select([self._connection], [], [], 0)[0]

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and all that it started, as -9 does."""
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(self.pid, signal.SIGKILL)
        self._wait()

    def finish(self, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Wait for its end; return what it printed."""
        if not select.select([self._connection], [], [], timeout)[0]:
            self.kill()
            raise subprocess.TimeoutExpired(self._name, timeout)
        out, err = (log.read_text(encoding="utf-8", errors="replace") for log in logs_of(self._logs, self.pid))
        return subprocess.CompletedProcess(self._name, self._wait(), out, err)

    def _wait(self) -> int:
        with self._connection, self._answers:
            return int(self._answers.readline())


class Command:
    """Runs `python -m rag_opt.NAME ARGUMENTS` in the folder of all command tests; `more`: environment variables."""

    def __init__(self, address: str, workplace: Path, logs: Path) -> None:
        self._address, self._workplace, self._logs = address, workplace, logs

    def start(self, name: str, *arguments: str, **more: str) -> Started:
        asked = {
            "name": f"rag_opt.{name}",
            "arguments": arguments,
            "place": str(self._workplace),
            "variables": environment(**more),
            "logs": str(self._logs),
        }
        return Started(ask(self._address, asked), name, self._logs)

    def __call__(
        self, name: str, *arguments: str, timeout: float = 120, **more: str
    ) -> subprocess.CompletedProcess[str]:
        return self.start(name, *arguments, **more).finish(timeout)


@pytest.fixture(scope="session")
def command(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    address, alive = connect(shared_folder(tmp_path_factory))
    with alive:
        yield Command(address, workplace, tmp_path_factory.mktemp("logs"))


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
