"""The one driver: asks the sampler, has pipelines evaluated, tells the result, and keeps every finished trial."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from rag_opt.errors import BadInput, ImpossiblePipeline, TooManyFailures
from rag_opt.evaluation.run import Objective, Run, Scores, Tools, aggregate, ask, score
from rag_opt.evaluation.statistics import mean_interval
from rag_opt.pipeline import PipelineSpec, Workshop
from rag_opt.records import FloatArray, Question
from rag_opt.store.keys import digest
from rag_opt.study.costs import Outlook
from rag_opt.study.folder import StudyFolder
from rag_opt.study.prospect import Prospect
from rag_opt.study.samplers import Proposal, Sampler, spec_digest, unseen
from rag_opt.study.space import Space, SpecDict
from rag_opt.study.sweep import Sweep, sweep
from rag_opt.study.trials import Trial, TrialLog

_REDRAWS = 20
_TELLS_APART = 0.05  # of the smallest standard error: what a trial must promise for stop=auto (docs/benchmarks.md)


class Watcher(Protocol):
    """Is told how the search goes: the terminal, tracking."""

    def trial_started(self, number: int, spec: SpecDict, origin: str) -> None: ...

    def trial_finished(self, trial: Trial, done: int) -> None: ...

    def swept(self, number: int, found: Sweep) -> None:
        """The lists of this trial's index were swept; what was found waits in the study's folder."""
        ...


@dataclass(frozen=True)
class Panel:
    """The objective that is optimised and those that are only logged."""

    optimised: Objective
    logged: tuple[Objective, ...]
    finalists: tuple[Objective, ...]

    @property
    def sign(self) -> int:
        """+1 when higher is better."""
        return 1 if self.optimised.direction == "maximize" else -1


@dataclass(frozen=True)
class Evaluation:
    """A pipeline on some questions. `optimised`: the objective's value per question.

    NaN: could not be scored, or (an unanswerable question) does not apply.
    """

    run: Run
    optimised: FloatArray
    scores: Scores
    metrics: dict[str, float]

    @property
    def coverage(self) -> float:
        """Share of the questions that it has a value for; an unanswerable one without a value is not missing."""
        known = ~np.isnan(self.optimised)
        applies = known | np.array([question.answerable for question in self.run.questions], bool)
        return float(known.sum() / applies.sum()) if applies.any() else 0.0


def evaluate(
    workshop: Workshop,
    spec: PipelineSpec,
    questions: Sequence[Question],
    panel: Panel,
    *,
    finalist: bool = False,
) -> Evaluation:
    """The unit of work: a function of its arguments and the store alone."""
    run = ask(workshop.pipeline(spec), questions)
    tools = Tools(workshop.encoder)
    values = workshop.store.values
    optimised = score(panel.optimised, run, tools, values)
    scores, metrics = dict(optimised), aggregate(panel.optimised, optimised)
    for objective in (*panel.logged, *(panel.finalists if finalist else ())):
        more = score(objective, run, tools, values)
        # what is optimised is never replaced by what is only logged, whatever its name
        metrics = {**aggregate(objective, more), **metrics}
        scores = {**more, **scores}
    return Evaluation(run, next(iter(optimised.values())), scores, metrics)


@dataclass(frozen=True)
class Search:
    """Everything a search needs, checked and ready."""

    folder: StudyFolder
    space: Space
    baseline: PipelineSpec
    sampler: Sampler
    panel: Panel
    workshop: Workshop
    questions: tuple[Question, ...]
    clusters: tuple[str, ...]
    trials: int
    seed: int
    max_failures: int = 5
    sweep: bool = False
    minutes: float | None = None
    stop: Literal["trials", "auto"] = "trials"

    def spent(self, log: TrialLog) -> float:
        """Share of the budget that finished trials have used, in [0, 1]."""
        trials = sum(trial.counts for trial in log.trials) / self.trials
        minutes = sum(trial.seconds for trial in log.trials) / 60 / self.minutes if self.minutes else 0.0
        return min(max(trials, minutes), 1.0)

    @functools.cached_property
    def prospect(self) -> Prospect:
        return Prospect(self.workshop, self.space, self.questions, self.baseline)


def drive(search: Search, log: TrialLog, watcher: Watcher) -> None:
    """Try pipelines until there are `trials` of them, or none is left. Every finished one is on disk at once."""
    seen = {spec_digest(trial.spec) for trial in log.trials}
    failures = 0
    for asked, origin in _proposals(search, log, seen, watcher):
        number = len(log.trials)
        seen.add(spec_digest(asked.spec))
        watcher.trial_started(number, asked.spec, origin)
        trial = _tried(search, number, asked, origin)
        log.commit(trial, asked.trial)
        watcher.trial_finished(trial, sum(t.counts for t in log.trials))
        failures = failures + 1 if trial.state == "FAIL" else 0
        if failures >= search.max_failures:
            raise TooManyFailures(f"{failures} trials in a row crashed; the last one: {trial.reason}")


def _proposals(search: Search, log: TrialLog, seen: set[str], watcher: Watcher) -> Iterator[tuple[Proposal, str]]:
    for origin, spec in reference_pipelines(search.baseline).items():
        if search.spent(log) >= 1:
            return
        if spec.digest not in seen:
            yield Proposal(spec.to_dict()), origin
    sweeps: dict[str, tuple[SpecDict, ...]] = {}
    while search.spent(log) < 1:
        if search.sweep:
            _sweep_new_indexes(search, log, sweeps, watcher)
        waiting = [spec for specs in sweeps.values() for spec in specs if spec_digest(spec) not in seen]
        if waiting:
            yield Proposal(waiting[0]), "sweep"
            continue
        proposal = _next(search, log, seen)
        if proposal is None or (search.stop == "auto" and _enough(log, proposal)):
            return
        yield proposal, "sampler"


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
        if best is None or search.panel.sign * (trial.value - (best.value or 0.0)) > 0:
            best = trial
        index = digest([trial.spec.get(slot) for slot in ("chunker", "embedder")])
        if index in sweeps:
            continue
        spec = PipelineSpec.from_dict({**trial.spec, **{slot: best.spec[slot] for slot in ("packer", "generator")}})
        if "dense" not in spec.retriever.indexes():  # nothing was embedded for it yet
            continue
        price = float(getattr(search.panel.optimised, "price_per_1000_tokens", 0.0))
        found = sweep(search.workshop, spec, search.space, search.questions, price_per_1000_tokens=price)
        sweeps[index] = found.specs if found is not None else ()
        if found is not None and found.specs and not search.folder.sweep_path(trial.number).exists():
            search.folder.save_sweep(trial.number, found.to_dict())
            watcher.swept(trial.number, found)


def reference_pipelines(baseline: PipelineSpec) -> dict[str, PipelineSpec]:
    """Trials 0, 1 and 2: the baseline, and the same with BM25 alone and with vectors alone."""
    settings = {"top_k": baseline.retriever.top_k, "depth": baseline.retriever.depth}

    def alone(kind: str) -> PipelineSpec:
        return PipelineSpec.from_dict({**baseline.to_dict(), "retriever": {kind: settings}, "reranker": {"none": {}}})

    return {"baseline": baseline, "BM25 alone": alone("lexical"), "dense alone": alone("dense")}


def _enough(log: TrialLog, proposal: Proposal) -> bool:
    """Whether the best that a sampler can promise is less than the questions can tell apart."""
    errors = [trial.error for trial in log.trials if trial.error]
    return bool(errors) and proposal.promise is not None and proposal.promise < _TELLS_APART * min(errors)


def _next(search: Search, log: TrialLog, seen: set[str]) -> Proposal | None:
    """A pipeline that was not tried: redrawn while it is known, then any that is left, else None.

    A sampler that proposes nothing but what cannot exist, twenty times in a row, is not asked this time.
    """
    number = len(log.trials)
    outlook = Outlook()
    if getattr(search.sampler, "reads_costs", False):
        outlook = search.prospect.outlook((trial.stages for trial in log.trials), spent=search.spent(log))
    stuck = number >= _REDRAWS and all(trial.state == "PRUNED" for trial in log.trials[-_REDRAWS:])
    for attempt in range(0 if stuck else _REDRAWS):
        seed = int(digest([search.seed, number, attempt])[:8], 16)
        proposal = search.sampler.propose(search.space, log.sampling, seed=seed, seen=seen, outlook=outlook)
        if proposal is None:
            return None
        if spec_digest(proposal.spec) not in seen:
            return proposal
        if proposal.trial is not None:
            log.discard(proposal.trial)
    return unseen(search.space, seed=int(digest([search.seed, number, "any"])[:8], 16), seen=seen)


def _tried(search: Search, number: int, asked: Proposal, origin: str) -> Trial:
    """Evaluate one proposal. Whatever goes wrong becomes a finished trial with its reason."""
    clock = time.perf_counter()
    before, spent = _counts(search.workshop), dict(search.workshop.ledger.spent)
    trial = Trial(number=number, state="FAIL", spec=asked.spec, origin=origin, started=_now())
    try:
        spec = PipelineSpec.from_dict(asked.spec)
    except BadInput as error:  # a rule between settings that only the part knows
        return dataclasses.replace(trial, state="PRUNED", reason=str(error))
    trial = dataclasses.replace(trial, spec=spec.to_dict())
    try:
        why = search.space.forbidden(trial.spec) if origin in ("sampler", "sweep") else ""
        if why:
            raise ImpossiblePipeline(why)
        done = evaluate(search.workshop, spec, search.questions, search.panel)
        search.folder.save_rows(number, done.run, done.scores)
    except ImpossiblePipeline as error:
        return dataclasses.replace(trial, state="PRUNED", reason=str(error), seconds=time.perf_counter() - clock)
    except BadInput:
        raise  # the search itself is at fault, not this pipeline
    except Exception as error:  # a crash is a finished trial with its reason; too many in a row stop the search
        reason = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-4)}"
        return dataclasses.replace(trial, reason=reason, seconds=time.perf_counter() - clock)
    measured = dataclasses.replace(
        trial,
        coverage=done.coverage,
        metrics=done.metrics,
        seconds=round(time.perf_counter() - clock, 3),
        truncated_chunks=search.workshop.truncated_chunks(spec),
        stages=_stages(search, spent, time.perf_counter() - clock),
        **_spent(before, _counts(search.workshop)),
    )
    if done.coverage == 0:
        return dataclasses.replace(measured, reason="not one question could be scored")
    interval = mean_interval(done.optimised, search.clusters)
    spread = interval.error if np.isfinite(interval.error) else None
    return dataclasses.replace(measured, state="COMPLETE", value=interval.mean, error=spread)


def _stages(
    search: Search, before: Mapping[str, tuple[float, float]], seconds: float
) -> dict[str, tuple[float, float]]:
    """Work and seconds by stage; "rest" is what no stage names: fusing, packing, scoring, writing."""
    stages = search.workshop.ledger.since(before)
    rest = seconds - sum(took for _, took in stages.values())
    rounded = {name: (work, round(took, 4)) for name, (work, took) in stages.items()}
    return {**rounded, "rest": (float(len(search.questions)), round(max(rest, 0.0), 4))}


def _counts(workshop: Workshop) -> dict[str, dict[str, int]]:
    store = workshop.store
    computed = {**store.values.computed, **store.built, "inputs encoded": workshop.encoded()}
    return {"computed": computed, "reused": {**store.values.reused, **store.reused}}


def _spent(before: Mapping[str, dict[str, int]], after: Mapping[str, dict[str, int]]) -> dict[str, Any]:
    grown = {
        side: {name: n - before[side].get(name, 0) for name, n in counts.items()} for side, counts in after.items()
    }
    return {side: {name: n for name, n in counts.items() if n} for side, counts in grown.items()}


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
