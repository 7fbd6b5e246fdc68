"""The default search, cold and warm, as a person starts it."""

from __future__ import annotations

import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from rag_opt.study.trials import load_trials


@dataclass(frozen=True)
class Timed:
    first_trial_s: float
    total_s: float


def timed_search(*overrides: str, cwd: Path) -> Timed:
    """Run a search and note when its first trial's line and its end came."""
    started = time.perf_counter()
    first = 0.0
    lines = []
    command = [sys.executable, "-u", "-m", "rag_opt.search", *overrides]
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if not first and line.startswith("   0  "):
                first = time.perf_counter() - started
    if process.returncode:
        raise SystemExit("".join(lines))
    return Timed(first, time.perf_counter() - started)


def help_s() -> float:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "rag_opt.search", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure() -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        cold = timed_search("study.name=cold", cwd=place)
        outputs = place / "outputs"
        connection = sqlite3.connect(outputs / "store" / "values" / "vectors.sqlite")
        (unique,) = connection.execute("SELECT count(*) FROM entry").fetchone()
        connection.close()
        encoded = orjson.loads((outputs / "cold" / "result.json").read_bytes())["inputs_encoded"]
        warm = timed_search("study.name=warm", cwd=place)
        again = orjson.loads((outputs / "warm" / "result.json").read_bytes())["inputs_encoded"]
        trials = [load_trials(outputs / name / "study.db", name) for name in ("cold", "warm")]
        same = [t.value for t in trials[0]] == [t.value for t in trials[1]]
        left = sum(len(list((outputs / name / "outbox").glob("*.json"))) for name in ("cold", "warm"))
    return [
        ("first trial's result after `python -m rag_opt.search`", f"{cold.first_trial_s:.1f} s", "at most 30 s"),
        (f"default search, {len(trials[0])} trials, cold store", f"{cold.total_s:.1f} s", "at most 180 s"),
        (
            f"the same in a new study, warm store ({'same' if same else 'OTHER'} values)",
            f"{warm.total_s:.1f} s, {again} texts embedded",
            "at most 25 s, 0 texts",
        ),
        ("model inputs encoded over unique ones", f"{encoded / unique:.3f} ({encoded:,} inputs)", "1.000"),
        ("runs left undelivered to MLflow at the end", f"{left}", "0"),
        ("`python -m rag_opt.search --help`, median of 5", f"{help_s():.2f} s", "at most 1.5 s"),
    ]
