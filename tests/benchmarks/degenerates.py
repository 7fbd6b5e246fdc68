"""Pipelines that nobody wants under every objective that needs no judge, beside the baseline, on the default data."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from rag_opt.cli.composing import compose, conf_folder
from rag_opt.core.registry import kinds
from rag_opt.evaluation.guards import Guards
from rag_opt.evaluation.interfaces import Objective
from rag_opt.evaluation.run import Run, ScoringResources, ask
from rag_opt.setup.prepare import prepare
from rag_opt.study.evaluation import measure_guarded
from tests.objectives.degenerate import DEGENERATE

_BY_STOPWATCH = "batch_time"


def measure() -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        composed = compose([f"outputs={Path(folder)}", "tracking=none"], [])
        search = prepare(composed, conf_folders=[conf_folder()]).search
        baseline = ask(search.builder.pipeline(search.baseline), search.questions)
        runs = {"baseline": baseline, **{name: make(baseline) for name, make in DEGENERATE.items()}}
        resources = ScoringResources(search.builder.encoder)
        rows = [_outside(name, run, baseline, search.guards) for name, run in runs.items()]
        for kind, objective in sorted(kinds("objective").items()):
            one: Objective = objective()
            if "judge" not in one.requires and kind not in (_BY_STOPWATCH, "ragas"):
                values = ", ".join(f"{name} {_mean(one, run, resources)}" for name, run in runs.items())
                rows.append((f"{kind} ({one.direction})", values, "none better and within the guards"))
        search.builder.close()
    return rows


def _mean(objective: Objective, run: Run, resources: ScoringResources) -> str:
    scores = next(iter(objective.score(run, resources).values()))
    return "none" if np.isnan(scores).all() else f"{float(np.nanmean(scores)):.3f}"


def _outside(name: str, run: Run, baseline: Run, guards: Guards) -> tuple[str, str, str]:
    scored = np.zeros(len(run.questions))
    broken = guards.broken(measure_guarded(run, scored), measure_guarded(baseline, scored))
    said = ", ".join(f"{guard} by {excess:.3g}" for guard, excess in broken.items()) or "none"
    return f"guards that {name} breaks", said, "none" if name == "baseline" else "at least one"
