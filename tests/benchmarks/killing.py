"""kill -9 at random moments of a search, with tracking on: what is lost, what changes, what is left running."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rag_opt.core.registry import load_parts
from rag_opt.pipeline.spec import spec_digest
from rag_opt.study.trials import Trial, load_trials
from rag_opt.tracking.places import tracking_uri

KILLS, TRIALS = 20, 40


def _processes(study: Path) -> list[int]:
    """Processes of this machine that name the study in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "rag_opt" in words and study.name in words and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found


def _wait_for(study: Path, trials: int) -> None:
    """Until so many trials have their rows, but no more than a minute: the moments spread over the whole search."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list((study / "rows").glob("*.parquet"))) < trials:
        time.sleep(0.02)


def measure() -> list[tuple[str, str, str]]:
    load_parts()  # specs are compared by what they stand for
    dice = random.Random(20)
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "outputs" / "killed-again-and-again"
        overrides = [f"study.name={study.name}", f"study.trials={TRIALS}"]
        command = [sys.executable, "-m", "rag_opt.search", *overrides]
        kept: list[Trial] = []
        lost = changed = 0
        at: list[int] = []
        for _ in range(KILLS):
            process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _wait_for(study, len(kept) + dice.randint(0, 3))
            time.sleep(dice.uniform(0, 2))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            now = load_trials(study / "study.db", study.name) if (study / "study.db").exists() else []
            lost += max(len(kept) - len(now), 0)
            changed += sum(a != b for a, b in zip(kept, now, strict=False))
            changed += sum(not (study / "rows" / f"{t.number:04d}.parquet").exists() for t in now)
            kept = now
            at.append(len(kept))
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        now = load_trials(study / "study.db", study.name)
        changed += sum(a != b for a, b in zip(kept, now, strict=False))
        distinct = len({spec_digest(t.spec) for t in now if t.is_counted})
        deadline = time.monotonic() + 20
        while _processes(study) and time.monotonic() < deadline:
            time.sleep(0.5)
        running = len(_processes(study))
        runs = _mlflow_runs(Path(folder) / "outputs")
    where = f"after {', '.join(map(str, at))} trials"
    return [
        (f"kill -9 at {KILLS} random moments ({where}): finished trials lost", str(lost), "0"),
        ("… changed, or without their rows", str(changed), "0"),
        (f"… distinct trials in the end, of {TRIALS}", str(distinct), str(TRIALS)),
        ("… processes left running", str(running), "0"),
        ("… runs in MLflow (a study and its trials, each once)", str(runs), str(TRIALS + 1)),
    ]


def _mlflow_runs(outputs: Path) -> int:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=tracking_uri({}, outputs))
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return len(client.search_runs(ids, max_results=1000))
