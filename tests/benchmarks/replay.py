"""Searches replayed over tables of exhaustively evaluated grids, by the real samplers, with a simulated clock.

python -m tests.benchmarks.replay [--tables FOLDER] [--seeds 20] [--only name,…] [--processes 2]

Every strategy begins with the same three trials, has the same cache, and pays for every trial what its missing stages
took when the table was built, and TRIAL_SECONDS. The unit of all comparisons is the data set: seeds are averaged first.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from rag_opt.core.arrays import FloatArray
from rag_opt.core.digests import digest
from rag_opt.core.registry import load_parts
from rag_opt.pipeline.spec import PipelineSpec, SpecDict
from rag_opt.study.cost.model import CostForecast, CostModel, Prior
from rag_opt.study.samplers.cost_aware import CostAware
from rag_opt.study.samplers.interfaces import Proposal
from rag_opt.study.samplers.proposals import suggest_pipeline, to_distribution
from rag_opt.study.samplers.tpe import Tpe
from rag_opt.study.samplers.uniform import Random
from rag_opt.study.space.space import Space
from tests.benchmarks.replay_grid import BUDGETS, Grid
from tests.benchmarks.replay_report import report
from tests.benchmarks.replay_tables import FOLDER, SPACE, products

TRIAL_SECONDS = 0.1  # beside the stages: scoring, rows, MLflow (measured: docs/history.md)
SWEEP_SECONDS = 0.3
MOST_TRIALS = 250
PRIORS = {
    "minilm": Prior("MiniLM", 22.7, 41.9),
    "minilm_128": Prior("MiniLM", 22.7, 41.0),
    "static": Prior("static", 7.8, 30.0),
}


@functools.cache
def _space() -> Space:
    load_parts()
    return Space.from_dict(SPACE, rest={}, only={})


@dataclass
class Run:
    """A simulated search: the clock, the cache, and after every trial the seconds and the best value so far."""

    grid: Grid
    space: Space
    study: optuna.Study = field(default_factory=lambda: optuna.create_study(direction="maximize"))
    done: set[tuple[Any, ...]] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    measured: list[dict[str, tuple[float, float]]] = field(default_factory=list)
    clock: float = 0.0
    best: float = -np.inf
    winner: tuple[int, ...] = ()
    history: list[tuple[float, float, float]] = field(default_factory=list)
    asking: list[float] = field(default_factory=list)

    def try_(self, spec: SpecDict, trial: optuna.Trial | None = None, *, share: float = 1.0) -> float:
        """`share` of the questions are asked; a trial of fewer is pruned at the mean of those."""
        stages: dict[str, tuple[float, float]] = {"rest": (1.0, TRIAL_SECONDS)}
        for key, name, work, seconds in self.grid.stages(spec):
            if key not in self.done:
                self.done.add(key)
                stages[name] = (work, seconds)
        self.clock += sum(seconds for name, (_, seconds) in stages.items() if name != "rest") + TRIAL_SECONDS * share
        self.measured.append(stages)
        place = self.grid.place(repr(spec))
        value = float(self.grid.search[place])
        self.seen.add(PipelineSpec.from_dict(spec).digest)
        if share == 1.0 and value > self.best:
            self.best, self.winner = value, place
        self.history.append((self.clock, self.best, float(self.grid.held_out[self.winner])))
        if trial is not None:
            self.study.tell(trial, value) if share == 1.0 else self.study.tell(
                trial, state=optuna.trial.TrialState.PRUNED
            )
        else:
            chosen = self.space.parameters(PipelineSpec.from_dict(spec).to_dict()) or {}
            self.study.add_trial(
                optuna.trial.create_trial(
                    value=value,
                    params={path: value for path, (value, _) in chosen.items()},
                    distributions={path: to_distribution(domain) for path, (_, domain) in chosen.items()},
                )
            )
        return value

    def cost_forecast(self, budget: float) -> CostForecast:
        def work(spec: SpecDict) -> Iterator[tuple[str, float]]:
            yield "rest", 1.0
            yield from ((name, work) for key, name, work, _ in self.grid.stages(spec) if key not in self.done)

        return CostForecast(work, CostModel(self.measured), min(self.clock / budget, 1.0), PRIORS)


def references() -> list[SpecDict]:
    base = {
        "chunker": {"recursive": {"size": 224, "overlap": 0.0}},
        "embedder": {"model": {"name": "minilm"}},
        "reranker": {"none": {}},
        "packer": {"ranked": {"context_tokens": 1500}},
        "generator": {"extractive": {}},
    }
    retrievers: list[dict[str, Any]] = [
        {"rrf": {"top_k": 5, "depth": 50, "k": 60}},
        {"lexical": {"top_k": 5, "depth": 50, "k1": 1.2, "b": 0.75}},
        {"dense": {"top_k": 5, "depth": 50}},
    ]
    return [{**base, "retriever": one} for one in retrievers]


def sampled(run: Run, sampler: Any, budget: float, seed: int, *, sweep: bool = False) -> None:
    """As the driver does: ask, redraw what is known, try."""
    swept: set[str] = set()
    waiting: list[SpecDict] = []
    for spec in references():
        run.try_(spec)
        _note_index(run, spec, swept, waiting, sweep)
    while run.clock < budget and len(run.history) < MOST_TRIALS:
        if waiting:
            spec = waiting.pop(0)
            if PipelineSpec.from_dict(spec).digest not in run.seen:
                run.try_(spec)
            continue
        started = time.perf_counter()
        proposal = _new(run, sampler, budget, seed)
        run.asking.append(time.perf_counter() - started)
        if proposal is None:
            return
        run.try_(proposal.spec, proposal.trial)
        _note_index(run, proposal.spec, swept, waiting, sweep)


def _note_index(run: Run, spec: SpecDict, swept: set[str], waiting: list[SpecDict], sweep: bool) -> None:
    index = repr([spec["chunker"], spec["embedder"]])
    if sweep and index not in swept and "lexical" not in spec["retriever"]:
        swept.add(index)
        run.clock += SWEEP_SECONDS
        waiting += run.grid.sweep(spec)


def _new(run: Run, sampler: Any, budget: float, seed: int) -> Proposal | None:
    number, cost_forecast = len(run.history), run.cost_forecast(budget)
    for attempt in range(20):
        one = int(digest([seed, number, attempt])[:8], 16)
        proposal = sampler.propose(run.space, run.study, seed=one, tried_digests=run.seen, cost_forecast=cost_forecast)
        if proposal is None or PipelineSpec.from_dict(proposal.spec).digest not in run.seen:
            return proposal
        run.study.tell(proposal.trial, state=optuna.trial.TrialState.FAIL)
    while True:
        spec = run.space.draw(np.random.default_rng([seed, number, len(run.seen)]))
        if PipelineSpec.from_dict(spec).digest not in run.seen:
            return Proposal(spec)
        number += 1


@dataclass(frozen=True)
class _Optuna:
    """Any Optuna sampler by its constructor."""

    make: Callable[[int], Any]

    def propose(
        self, space: Space, study: optuna.Study, *, seed: int, tried_digests: Any, cost_forecast: Any
    ) -> Proposal:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return suggest_pipeline(space, study, self.make(seed))


def greedy(order: Sequence[str]) -> Callable[[Run, float, int], None]:
    """One slot after another: every value of it with the best of the others so far (as AutoRAG), in random order."""

    def search(run: Run, budget: float, seed: int) -> None:
        random = np.random.default_rng(seed)
        for spec in references():
            run.try_(spec)
        best = max(references(), key=lambda spec: run.grid.search[run.grid.place(repr(spec))])
        for slot in order:
            values = products(slot)
            found = [(run.grid.search[run.grid.place(repr(best))], best)]
            for place in random.permutation(len(values)):
                kind, settings = values[place]
                spec = {**best, slot: {kind: settings}}
                if PipelineSpec.from_dict(spec).digest in run.seen:
                    continue
                if run.clock >= budget or len(run.history) >= MOST_TRIALS:
                    return
                found.append((run.try_(spec), spec))
            best = max(found, key=lambda pair: pair[0])[1]

    return search


def wilcoxon(run: Run, budget: float, seed: int) -> None:
    """TPE; questions in tenths, stopped by Optuna's WilcoxonPruner."""
    sampler, pruner = Tpe(), optuna.pruners.WilcoxonPruner(p_threshold=0.1)
    for spec in references():
        run.try_(spec)
    kept: list[FloatArray] = []
    while run.clock < budget and len(run.history) < MOST_TRIALS:
        proposal = _new(run, sampler, budget, seed)
        if proposal is None:
            return
        row = run.grid.per_question[run.grid.place(repr(proposal.spec))]
        share = 1.0
        if proposal.trial is not None and kept:
            from scipy.stats import wilcoxon as test

            leader = max(kept, key=lambda one: float(one.mean()))
            for tenth in range(2, 10):
                cut = len(row) * tenth // 10
                difference = row[:cut] - leader[:cut]
                if difference.any() and test(difference, alternative="less").pvalue < pruner._p_threshold:
                    share = tenth / 10
                    break
        if share == 1.0:
            kept.append(row)
        run.try_(proposal.spec, proposal.trial, share=share)


def strategies() -> dict[str, Callable[[Run, float, int], None]]:
    def by(sampler: Any, *, sweep: bool = False) -> Callable[[Run, float, int], None]:
        return lambda run, budget, seed: sampled(run, sampler, budget, seed, sweep=sweep)

    plain_tpe = _Optuna(lambda seed: optuna.samplers.TPESampler(seed=seed))
    gaussian = _Optuna(lambda seed: optuna.samplers.GPSampler(seed=seed, deterministic_objective=True))
    made: dict[str, Callable[[Run, float, int], None]] = {
        "random": by(Random()),
        "tpe": by(plain_tpe),
        "tpe grouped": by(Tpe()),
        "gp": by(gaussian),
        "greedy in order": greedy(("chunker", "embedder", "retriever", "reranker")),
        "greedy model first": greedy(("embedder", "chunker", "retriever", "reranker")),
        "tpe wilcoxon": wilcoxon,
        "random sweep": by(Random(), sweep=True),
        "tpe sweep": by(Tpe(), sweep=True),
        "cost_aware": by(CostAware()),
        "cost_aware sweep": by(CostAware(), sweep=True),
    }
    for eta in (0.0, 0.25, 0.5):
        made[f"cost_aware eta={eta:g}"] = by(CostAware(eta=eta))
        made[f"cost_aware sweep eta={eta:g}"] = by(CostAware(eta=eta), sweep=True)
    return made


@functools.lru_cache(maxsize=4)
def _grid(path: Path, seed: int) -> Grid:
    """Every seed splits the questions its own way."""
    return Grid(path, seed)


def replay(job: tuple[str, Path, int]) -> dict[str, Any]:
    """One strategy on one data set with one seed, up to the largest budget."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name, path, seed = job
    grid = _grid(path, seed)
    run = Run(grid, _space())
    strategies()[name](run, BUDGETS[-1] * grid.cost, seed)
    clock, best, held_out = (np.array(column) for column in zip(*run.history, strict=True))
    optimum = float(grid.search.max())
    exhaustive = float(grid.held_out[np.unravel_index(grid.search.argmax(), grid.search.shape)])
    found = []
    for share in BUDGETS:
        at = max(int(np.searchsorted(clock, share * grid.cost, side="right")) - 1, 0)
        found.append((best[at] / optimum, held_out[at] / exhaustive, at + 1))
    asking = float(np.max(run.asking)) if run.asking else 0.0
    return {"strategy": name, "data": path.stem, "seed": seed, "found": found, "asking": asking}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, default=FOLDER)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default="")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    names = [one for one in strategies() if not given.only or one in given.only.split(",")]
    paths = sorted(given.tables.glob("*.npz"))
    jobs = [(name, path, seed) for path, seed, name in itertools.product(paths, range(given.seeds), names)]
    with ProcessPoolExecutor(given.processes) as pool:
        rows = list(pool.map(replay, jobs, chunksize=len(names)))
    report(rows, names, [path.stem for path in paths])


if __name__ == "__main__":
    main()
