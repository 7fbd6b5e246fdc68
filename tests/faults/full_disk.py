"""A disk that is full: the search stops with one message, and goes on to the same trials after room was made.

The store, the folder of outputs and the study's folder lie on file systems of their own, of several sizes. Needs the
right to mount one (root).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rag_opt.study.trials import load_trials
from tests.conftest import write_tiny
from tests.faults.outcome import Outcome

_PLACES = {"store": "store", "outputs": "", "study": "full"}
_SIZES_KB = (40, 80, 120, 160, 200, 260, 320, 400, 500, 700, 900, 1200)
_ARGUMENTS = [
    "dataset=folder",
    "dataset.documents=data/docs",
    "dataset.questions=data/questions.jsonl",
    "dataset.name=tiny",
    "space.chunker.recursive.size=[16,32]",
    "space.chunker.recursive.overlap=0.0",
    "pipeline.chunker.recursive.size=32",
    "only.chunker=recursive",
    "only.embedder=model",
    "space.embedder.model.dimensions=null",
    "runtime=torch",
    "tracking=none",
    "study.trials=8",
    "study.finalists=2",
    "dataset.language=en",
]


def run(rounds: int, folder: Path) -> Outcome:
    """`rounds`: sizes of each place."""
    outcome = Outcome()
    if os.geteuid() != 0:
        outcome.examples.append("only root may mount the small file systems that this needs")
        return outcome
    write_tiny(folder / "data")
    undisturbed = folder / "undisturbed"
    _search(folder, undisturbed)
    expected = _results(undisturbed)
    sizes = [_SIZES_KB[round(step * len(_SIZES_KB) / rounds)] for step in range(rounds)] if rounds < 12 else _SIZES_KB
    for place, inside in _PLACES.items():
        for size in sizes:
            outcome.rounds += 1
            outputs = folder / f"{place}-{size}"
            _try(outcome, folder, outputs, outputs / inside, size, expected)
    return outcome


def _try(outcome: Outcome, folder: Path, outputs: Path, mounted: Path, size: int, expected: list[object]) -> None:
    mounted.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(mounted)], check=True)
    try:
        stopped = _search(folder, outputs)
        said = stopped.stderr
        where = f"{mounted.relative_to(folder)} of {size} kB"
        if stopped.returncode != 0:
            if "Traceback" in said:
                outcome.tracebacks += 1
                outcome.examples.append(f"{where}: {said[-600:]}")
            elif stopped.returncode != 2 or "the same command goes on from there" not in said or "free:" not in said:
                outcome.unclear += 1
                outcome.examples.append(f"{where}: exit {stopped.returncode}: {said[-400:]}")
        elif _results(outputs) != expected:
            outcome.silent += 1
            outcome.examples.append(f"{where}: ended with other trials")
        subprocess.run(["mount", "-o", "remount,size=100m", str(mounted)], check=True)
        resumed = _search(folder, outputs)
        if resumed.returncode != 0 or _results(outputs) != expected:
            outcome.lost += 1
            outcome.examples.append(f"{where}: resumed with {resumed.returncode}: {resumed.stderr[-300:]}")
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)  # whoever still ends may look at it


def _search(folder: Path, outputs: Path) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "rag_opt.search", *_ARGUMENTS, f"outputs={outputs}", "study.name=full"]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def _results(outputs: Path) -> list[object]:
    trials = load_trials(outputs / "full" / "study.db", "full")
    return [(trial.spec, trial.value, trial.state) for trial in trials]
