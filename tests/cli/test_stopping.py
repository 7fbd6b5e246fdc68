"""A search that is interrupted, killed, or already running."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from rag_opt.cli.signals import Stop, stoppable
from rag_opt.pipeline.spec import spec_digest
from rag_opt.study.trials import Trial
from tests.cli.conftest import Command, environment, trials_of


def wait_for_trials(study: Path, count: int, *, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if len(list((study / "rows").glob("*.parquet"))) >= count:
            return
        time.sleep(0.02)
    pytest.fail(f"{study} did not reach {count} trials in {limit_s} s")


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_anything_was_started(workplace: Path, tiny: list[str], number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rag_opt.search", *tiny, "study.name=early", "study.trials=500"],
        cwd=workplace,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 20
    maps = Path(f"/proc/{process.pid}/maps")
    while time.monotonic() < deadline and "antlr" not in maps.read_text() and "_pydantic_core" not in maps.read_text():
        time.sleep(0.005)
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number and "Traceback" not in said, said
    assert "Stopped" in said and "python -m rag_opt.search dataset=folder" in said, "how to go on"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_estimate_that_is_stopped_leaves_nothing(command: Command, tiny: list[str], number: signal.Signals) -> None:
    process = command.start("estimate", *tiny, "study.name=estimated")
    place, deadline = Path(tempfile.gettempdir()), time.monotonic() + 30
    while time.monotonic() < deadline and not list(place.glob(f"rag_opt_probe_{process.pid}_*")):
        time.sleep(0.002)
    assert process.is_running
    process.send_signal(number)
    done = process.finish(30)
    assert done.returncode == 128 + number and "Traceback" not in done.stdout + done.stderr, done
    assert "Stopped" in done.stdout and not list(place.glob(f"rag_opt_probe_{process.pid}_*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_says_how_to_resume(
    finished: Path, command: Command, tiny: list[str], number: signal.Signals
) -> None:
    name = f"stop-{number.name}"
    tracking = "mlflow" if number == signal.SIGTERM else "none"
    process = command.start("search", *tiny[:-1], f"tracking={tracking}", f"study.name={name}", "study.trials=500")
    wait_for_trials(finished.parent / name, 5)  # the fifth trial's rows are there: four are committed
    asked = time.monotonic()
    process.send_signal(number)
    done = process.finish(30)
    assert time.monotonic() - asked < 10
    assert done.returncode == 128 + number, done
    assert "the same command resumes" in done.stdout and f"study.name={name}" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not alive(process.pid)
    assert len(trials_of(finished.parent / name)) >= 4


def test_an_interrupt_inside_a_finalizer_is_not_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    stop = Stop()
    with stoppable(stop):
        Finalized()  # Python swallows what is raised in here
        with pytest.raises(KeyboardInterrupt):
            stop.trial_started(7, {}, "sampler")
        with pytest.raises(KeyboardInterrupt):
            stop.before(lambda done, total: None)(64, 1000)
    assert "Traceback" not in capsys.readouterr().err


def test_a_second_search_of_the_same_study_is_refused(finished: Path, command: Command, tiny: list[str]) -> None:
    process = command.start("search", *tiny, "study.name=busy", "study.trials=500")
    try:
        wait_for_trials(finished.parent / "busy", 1)
        done = command("search", *tiny, "study.name=busy", "study.trials=500")
        assert done.returncode == 2 and f"is being searched by process {process.pid}" in done.stderr
    finally:
        process.kill()


def test_killed_at_random_moments_nothing_finished_is_lost(finished: Path, command: Command, tiny: list[str]) -> None:
    """The benchmark does this twenty times; two are enough to notice that it broke."""
    study, dice, kept = finished.parent / "killed", random.Random(5), list[Trial]()
    for round_number in range(2):
        process = command.start("search", *tiny, "study.name=killed", "study.trials=20")
        wait_for_trials(study, 2 + 3 * round_number)
        time.sleep(dice.random() * 0.3)
        process.kill()
        now = trials_of(study)
        assert now[: len(kept)] == kept, "a finished trial was lost or changed"
        kept = now
    done = command("search", *tiny, "study.name=killed", "study.trials=20")
    assert done.returncode == 0, done
    trials = trials_of(study)
    assert trials[: len(kept)] == kept
    assert sum(t.is_counted for t in trials) == len({spec_digest(t.spec) for t in trials if t.is_counted}) == 20
