"""A disk that is full: the search stops with one message, and goes on to the same trials after room was made.

The store, the folder of outputs and the study's folder lie on file systems of their own, of several sizes. Needs the
right to mount one (root).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.conftest import write_tiny
from tests.faults.outcome import Outcome
from tests.faults.tiny_search import results, search

_PLACES = {"store": "store", "outputs": "", "study": "full"}
_SIZES_KB = (40, 80, 120, 160, 200, 260, 320, 400, 500, 700, 900, 1200)


def run(rounds: int, folder: Path) -> Outcome:
    """`rounds`: sizes of each place."""
    outcome = Outcome()
    if os.geteuid() != 0:
        outcome.examples.append("only root may mount the small file systems that this needs")
        return outcome
    write_tiny(folder / "data")
    undisturbed = folder / "undisturbed"
    search(folder, undisturbed)
    expected = results(undisturbed)
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
        stopped = search(folder, outputs)
        said = stopped.stderr
        where = f"{mounted.relative_to(folder)} of {size} kB"
        if stopped.returncode != 0:
            if "Traceback" in said:
                outcome.tracebacks += 1
                outcome.examples.append(f"{where}: {said[-600:]}")
            elif stopped.returncode != 2 or "the same command goes on from there" not in said or "free:" not in said:
                outcome.unclear += 1
                outcome.examples.append(f"{where}: exit {stopped.returncode}: {said[-400:]}")
        elif results(outputs) != expected:
            outcome.silent += 1
            outcome.examples.append(f"{where}: ended with other trials")
        subprocess.run(["mount", "-o", "remount,size=100m", str(mounted)], check=True)
        resumed = search(folder, outputs)
        if resumed.returncode != 0 or results(outputs) != expected:
            outcome.lost += 1
            outcome.examples.append(f"{where}: resumed with {resumed.returncode}: {resumed.stderr[-300:]}")
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)  # whoever still ends may look at it
