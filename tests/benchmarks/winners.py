"""The default search, seeds 0 to 4, and two with TPE: is the winner one that its user would pick by hand?"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import rag_opt

SEEDS, TPE_SEEDS = range(5), range(2)
_METRICS = {
    "refused wrongly": "quality/refused_answerable",
    "similarity": "ragas/semantic_similarity",
    "recall": "retrieval/evidence_recall",
}


def measure() -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for seed in SEEDS for row in measure_seed(seed, Path(folder))]
        return rows + [row for seed in TPE_SEEDS for row in measure_seed(seed, Path(folder), "sampler=tpe")]


def measure_seed(seed: int, outputs: Path, *more: str) -> list[tuple[str, str, str]]:
    name = "-".join([f"seed-{seed}", *(one.partition("=")[2] for one in more)])
    overrides = [f"study.seed={seed}", f"study.name={name}", f"outputs={outputs}", "tracking=none", *more]
    study = rag_opt.run_search(overrides, quiet=True)
    result, best = study.result, study.best
    assert result is not None and best is not None
    sampled = [trial for trial in study.trials[15:] if trial.origin == "sampler"]
    outside = [trial for trial in sampled if trial.outside]
    gain, expected = result["gain"]["mean"] * 100, result["expected_gain"] * 100
    said = f"{result['verdict']}, {expected:+.1f} expected, {gain:+.1f} measured"
    rows = [(f"{name}: winner, held out", f"trial {best.number}: {said}", "")]
    for metric, key in _METRICS.items():
        ours, theirs = (result["metrics"][str(number)][key] for number in (best.number, result["baseline"]))
        target = {"refused wrongly": "+0.05 at most", "similarity": "not lower", "recall": "higher"}[metric]
        rows.append((f"{name}: {metric}, winner and baseline", f"{ours:.3f}, {theirs:.3f}", target))
    rows.append((f"{name}: sampled outside a guard after 15 trials", f"{len(outside)} of {len(sampled)}", "1 in 5"))
    return rows


if __name__ == "__main__":  # python -m tests.benchmarks.winners OUTPUTS SEED [key=value ...]
    for row in measure_seed(int(sys.argv[2]), Path(sys.argv[1]), *sys.argv[3:]):
        print(*row, sep=" | ")
