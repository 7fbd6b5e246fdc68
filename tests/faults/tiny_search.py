"""A search over ten questions, by the real command; its study is called `full`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rag_opt.study.trials import load_trials

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


def search(folder: Path, outputs: Path) -> subprocess.CompletedProcess[str]:
    """Search in `folder`, where the data lie (`write_tiny`)."""
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "rag_opt.search", *_ARGUMENTS, f"outputs={outputs}", "study.name=full"]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def results(outputs: Path) -> list[object]:
    """Return what its trials were and scored."""
    trials = load_trials(outputs / "full" / "study.db", "full")
    return [(trial.spec, trial.value, trial.state) for trial in trials]
