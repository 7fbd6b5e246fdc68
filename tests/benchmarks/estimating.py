"""Estimates against what ten searches then took: other data, spaces, samplers, objectives, cold and warm stores.

RAG_OPT_BENCH_SEARCHES: only so many of them, from the first.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHARED = Path(__file__).parents[3] / "shared" / "data"
CHUNKING = SHARED / "chunking_evaluation"
CSV = ["dataset=csv_spans", f"dataset.documents={CHUNKING}/corpora", f"dataset.questions={CHUNKING}/questions.csv"]
SEARCHES: tuple[tuple[str, list[str]], ...] = (
    ("default", []),
    ("default, another seed, stored", ["study.seed=1", "study.name=warm"]),
    ("10 trials", ["study.trials=10"]),
    ("20 random trials", ["study.trials=20", "sampler=random"]),
    ("20 trials of tpe, evidence alone", ["study.trials=20", "sampler=tpe", "objective=evidence_recall"]),
    ("dense alone, 30 trials", ["study.trials=30", "only.retriever=dense"]),
    ("small chunks, 15 trials", ["study.trials=15", "only.chunker=recursive", "space.chunker.recursive.size=[32,64]"]),
    ("five corpora, 8 trials", [*CSV, "study.trials=8"]),
    ("five corpora, 15 trials of tpe", [*CSV, "study.trials=15", "sampler=tpe"]),
    (
        "SciFact, 4 trials",
        ["dataset=beir", f"dataset.folder={SHARED}/scifact", "dataset.split=train", "study.trials=4", "objective=ndcg"],
    ),
)
_WITHIN = 0.25


def measure() -> list[tuple[str, str, str]]:
    rows, close = [], 0
    with tempfile.TemporaryDirectory() as folder:
        shared = f"outputs={folder}/default"
        for number, (what, overrides) in enumerate(SEARCHES[: int(os.environ.get("RAG_OPT_BENCH_SEARCHES", "10"))]):
            if any(str(SHARED) in one for one in overrides) and not SHARED.is_dir():
                continue
            where = shared if number < 2 else f"outputs={folder}/{number}"
            said = _run("estimate", where, *overrides)
            started = time.perf_counter()
            _run("search", where, *overrides)
            spent = time.perf_counter() - started
            guessed = _seconds(said)
            close += abs(guessed / spent - 1) <= _WITHIN
            rows.append((f"estimate: {what}", f"{guessed:.0f} s, spent {spent:.0f} s ({guessed / spent - 1:+.0%})", ""))
            print("|", " | ".join(rows[-1]), "|", file=sys.stderr, flush=True)
    rows.append(("… within 25 %", f"{close} of {len(rows)}", "9 of 10"))
    return rows


def _run(command: str, *overrides: str) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", f"rag_opt.{command}", *overrides],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command} {overrides}: {done.stdout[-500:]} {done.stderr[-1500:]}")
    return done.stdout


def _seconds(said: str) -> float:
    """Of the line "time  about 77 s (62 s to 90 s): …"."""
    found = re.search(r"^time\s+about ([\d.]+) (s|min)", said, re.MULTILINE)
    assert found is not None, said
    return float(found[1]) * (60 if found[2] == "min" else 1)
