"""make bench: prints the figures of docs/benchmarks.md, measured now, on this machine.

python -m tests.benchmarks [name ...] runs some of them; without a name all.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import (
    advising,
    asking,
    bookkeeping,
    busy,
    copies,
    degenerates,
    encoding,
    estimating,
    evidence,
    families,
    gating,
    growing,
    halves,
    intervals,
    judging,
    killing,
    large,
    malformed,
    reading,
    reporting,
    scifact,
    searching,
    serving,
    stores,
    storing,
    sweeping,
    three_models,
    updating,
    weak_model,
    winners,
)

Row = tuple[str, str, str]
BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "search": searching.measure,
    "bookkeeping": bookkeeping.measure,
    "evidence": evidence.measure,
    "sweep": sweeping.measure,
    "winners": winners.measure,
    "degenerates": degenerates.measure,
    "intervals": intervals.measure,
    "halves": halves.measure,
    "encoding": encoding.measure,
    "store": storing.measure,
    "asking": asking.measure,
    "estimate": estimating.measure,
    "families": families.measure,
    "three_models": three_models.measure,
    "parity": three_models.measure_parity,
    "weak_model": weak_model.measure,
    "large": large.measure,
    "serving": serving.measure,
    "update": updating.measure,
    "stores": stores.measure,
    "gate": gating.measure,
    "judging": judging.measure,
    "judge_faults": judging.faults,
    "kill": killing.measure,
    "busy": busy.measure,
    "scifact": scifact.measure,
    "copies": copies.measure,
    "malformed": malformed.measure,
    "readers": reading.compare_readers,
    "reading": reading.read_again,
    "reader_search": reading.search_over_readers,
    "chunkers": reading.compare_chunkers,
    "growth": growing.measure,
    "report": reporting.measure,
    "mlflow_page": reporting.open_mlflow,
    "advice": advising.measure,
}


def main() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    names = sys.argv[1:] or list(BENCHMARKS)
    day = dt.datetime.now(dt.UTC).date()
    print(f"{day}, {_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}\n", flush=True)
    print("| what | measured | target |\n| --- | --- | --- |")
    for name in names:
        for what, measured, target in BENCHMARKS[name]():
            print(f"| {what} | {measured} | {target} |", flush=True)


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


if __name__ == "__main__":
    main()
