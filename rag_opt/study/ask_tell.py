"""The one driver: asks the sampler, has pipelines evaluated, tells the result, and keeps every finished trial."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, BudgetSpent, ModelUnusable, TooManyFailures
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.racing_evaluator import RacingEvaluator
from rag_opt.study.references import reference_pipelines
from rag_opt.study.samplers.interfaces import Proposal, ReadsCosts
from rag_opt.study.samplers.proposals import new_proposal, spec_digest
from rag_opt.study.search import Search
from rag_opt.study.space.space import SpecDict
from rag_opt.study.sweep import Sweep, sweep
from rag_opt.study.trial_runner import tried
from rag_opt.study.trials import Trial, TrialLog

_REDRAWS = 20
_TELLS_APART = 0.1  # of the best trial's standard error: what a trial must promise for stop=auto (docs/benchmarks.md)


class Watcher(Protocol):
    """Is told how the search goes: the terminal, tracking."""

    def trial_started(self, number: int, spec: SpecDict, origin: str) -> None: ...

    def trial_finished(self, trial: Trial, done: int) -> None: ...

    def note(self, text: str) -> None: ...

    def swept(self, number: int, found: Sweep) -> None:
        """The lists of this trial's index were swept; what was found waits in the study's folder."""
        ...


def run_ask_tell_loop(search: Search, log: TrialLog, watcher: Watcher) -> None:
    """Try pipelines until there are `trials` of them, or none is left. Every finished one is on disk at once."""
    seen = {spec_digest(trial.spec) for trial in log.trials}
    failures, racing_evaluator, budget_tracker = 0, RacingEvaluator(search), search.builder.budget_tracker
    budget_tracker.share = search.share_for_trials(log.trials)
    for asked, origin in _proposals(search, log, seen, watcher):
        number = len(log.trials)
        seen.add(spec_digest(asked.spec))
        watcher.trial_started(number, asked.spec, origin)
        try:
            trial = tried(search, number, asked, origin, trials=log.trials, racing_evaluator=racing_evaluator)
        except BudgetSpent as error:
            watcher.note(f"{error}. {_left(search, log)}; trial {number} was not finished, what it paid for is kept")
            return
        log.commit(trial, asked.trial)
        watcher.trial_finished(trial, sum(t.counts for t in log.trials))
        budget_tracker.share = search.share_for_trials(log.trials)
        failures = failures + 1 if trial.state == "FAIL" else 0
        if failures >= search.max_failures:
            raise TooManyFailures(f"{failures} trials in a row crashed; the last one: {trial.reason}")
    done = sum(trial.counts for trial in log.trials)
    if done < search.trials and search.minutes is not None and search.spent(log) >= 1:
        so_far = f"{search.minutes:g} minutes of trials (study.minutes) are spent"
        watcher.note(f"{so_far} after {done} of {search.trials} pipelines; more minutes go on from here")


def _left(search: Search, log: TrialLog) -> str:
    """What a cap has left undone, in words."""
    done, share = sum(trial.counts for trial in log.trials), search.builder.budget_tracker.share
    kept = f" ({1 - share:.0%} of it is kept for the end)" if share < 1 else ""
    return f"{done} of {search.trials} pipelines were tried{kept}; a higher cap goes on from here"


def _proposals(search: Search, log: TrialLog, seen: set[str], watcher: Watcher) -> Iterator[tuple[Proposal, str]]:
    for origin, spec in reference_pipelines(search.baseline).items():
        if search.spent(log) >= 1 or _late(search, log, watcher):
            return
        if spec.digest not in seen:
            yield Proposal(spec.to_dict()), origin
    sweeps: dict[str, tuple[SpecDict, ...]] = {}
    while search.spent(log) < 1 and not _late(search, log, watcher):
        if search.sweep:
            _sweep_new_indexes(search, log, sweeps, watcher)
        waiting = [spec for specs in sweeps.values() for spec in specs if spec_digest(spec) not in seen]
        if waiting:
            yield Proposal(waiting[0]), "sweep"
            continue
        proposal = _next(search, log, seen)
        if proposal is None:
            watcher.note("every pipeline of the space was tried")
            return
        if search.stop == "auto" and _enough(search, log, proposal):
            watcher.note("study.stop=auto: what the best new pipeline promises is less than these questions tell apart")
            return
        yield proposal, "sampler"


def _late(search: Search, log: TrialLog, watcher: Watcher) -> bool:
    """Whether the time is up that a search may take."""
    why = search.builder.budget_tracker.out_of_time()
    if why:
        watcher.note(f"{why}. {_left(search, log)}")
    return bool(why)


def _sweep_new_indexes(
    search: Search, log: TrialLog, sweeps: dict[str, tuple[SpecDict, ...]], watcher: Watcher
) -> None:
    """Sweep the lists of each index of the space once, when the first trial that searched its vectors is finished.

    What is not swept is as in the best trial until then. All follows from the finished trials alone, so that it does
    not matter where a search was cut.
    """
    best: Trial | None = None
    for trial in log.trials:
        if trial.value is None or trial.spec not in search.space:
            continue
        if best is None or search.objective_set.sign * (trial.value - (best.value or 0.0)) > 0:
            best = trial
        index = digest([trial.spec.get(slot) for slot in ("chunker", "embedder")])
        if index in sweeps:
            continue
        spec = PipelineSpec.from_dict({**trial.spec, **{slot: best.spec[slot] for slot in ("packer", "generator")}})
        if "dense" not in spec.retriever.index_queries():  # nothing was embedded for it yet
            continue
        price = float(getattr(search.objective_set.optimised, "price_per_1000_tokens", 0.0))
        sweeps[index] = ()
        try:
            found = sweep(search.builder, spec, search.space, search.questions, price_per_1000_tokens=price)
        except (BadInput, ModelUnusable, BudgetSpent):
            raise
        except Exception as error:  # a sweep only proposes; the search goes on without it
            watcher.note(f"the lists of trial {trial.number} could not be swept: {type(error).__name__}: {error}")
            continue
        sweeps[index] = found.specs if found is not None else ()
        if found is not None and found.specs and not search.folder.sweep_path(trial.number).exists():
            search.folder.save_sweep(trial.number, found.to_dict())
            watcher.swept(trial.number, found)


def _enough(search: Search, log: TrialLog, proposal: Proposal) -> bool:
    """Whether the best that a sampler can promise is less than the questions can tell apart."""
    best = search.best(log.trials)
    if best is None or not best.error or proposal.expected_improvement is None:
        return False
    return proposal.expected_improvement < _TELLS_APART * best.error


def _next(search: Search, log: TrialLog, seen: set[str]) -> Proposal | None:
    """A pipeline that was not tried, or None when all were.

    A sampler that proposes nothing but what cannot exist, twenty times in a row, is not asked this time.
    """
    number = len(log.trials)
    cost_forecast = CostForecast()
    if isinstance(search.sampler, ReadsCosts):
        cost_forecast = search.cost_forecaster.cost_forecast(
            log.trials, spent=search.spent(log), paid=search.sampler.paid
        )
    stuck = number >= _REDRAWS and all(trial.state == "PRUNED" for trial in log.trials[-_REDRAWS:])
    seeds, redraws = [search.seed, number], 0 if stuck else _REDRAWS
    return new_proposal(
        search.sampler, search.space, log.sampling, seeds, seen=seen, cost_forecast=cost_forecast, redraws=redraws
    )
