"""The ask-tell loop: asks the sampler, has pipelines evaluated, tells the result, and keeps every finished trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, BudgetSpent, ModelUnusable, TooManyFailures
from rag_opt.core.faults import find_fault
from rag_opt.evaluation.interfaces import PricesContext
from rag_opt.pipeline.spec import INDEX_SLOTS, PipelineSpec, SpecDict, spec_digest
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.interfaces import Watcher
from rag_opt.study.latency import LATENCY_METRICS
from rag_opt.study.racing_evaluator import RacingEvaluator
from rag_opt.study.references import REFERENCES
from rag_opt.study.samplers.interfaces import Proposal, ReadsCosts
from rag_opt.study.samplers.proposals import propose_new
from rag_opt.study.search import Search
from rag_opt.study.sweep import sweep
from rag_opt.study.transfer import PORTFOLIO
from rag_opt.study.trial_runner import run_trial
from rag_opt.study.trials import Trial, TrialLog

_REDRAWS = 20
_SMALLEST_GAIN = 0.1  # of the best trial's standard error: expected improvement that goes on (docs/history.md)


def run_ask_tell_loop(search: Search, log: TrialLog, watcher: Watcher) -> None:
    """Try pipelines until there are `search.trials` of them, or none is left. Every finished one is on disk at once.

    Ends early where time or money is spent. Raises TooManyFailures where trials keep crashing.
    """
    _Loop(search, log, watcher).run()


def _find_retried(trials: Sequence[Trial], *, crashed: bool) -> list[Trial]:
    """Return failed trials to try again: those that the machine failed, and with `crashed` all; each pipeline once."""
    last = {spec_digest(trial.spec): trial for trial in trials}
    return [trial for trial in last.values() if trial.met_a_fault or (crashed and trial.state == "FAIL")]


class _Loop:
    """State of one run of the loop; all of it follows from the finished trials, so it does not matter where it was cut.

    `sweeps`: by index the pipelines that its sweep proposed.
    """

    def __init__(self, search: Search, log: TrialLog, watcher: Watcher) -> None:
        self._search, self._log, self._watcher = search, log, watcher
        self._retried = _find_retried(log.trials, crashed=search.retry_failed)
        self._identify = search.space.identify
        self._tried_digests = {self._identify(trial.spec) for trial in log.trials}
        self._sweeps: dict[str, tuple[SpecDict, ...]] = {}
        self._budget_tracker = search.builder.budget_tracker

    @property
    def _done(self) -> int:
        return self._search.count_tried(self._log.trials)

    def run(self) -> None:
        search, log = self._search, self._log
        failures, racing_evaluator = 0, RacingEvaluator(search)
        for trial in log.trials:
            if trial.origin == "baseline":  # guards may have changed since
                self._validate_guards(trial)
        self._budget_tracker.share = search.share_for_trials(log.trials)
        for proposal, origin in self._proposals():
            number = len(log.trials)
            self._tried_digests.add(self._identify(proposal.spec))
            self._watcher.trial_started(number, proposal.spec, origin)
            search.folder.forget("skip")
            try:
                trial = run_trial(
                    search, number, proposal, origin, trials=log.trials, racing_evaluator=racing_evaluator
                )
            except BudgetSpent as error:
                unfinished = f"trial {number} was not finished, what it paid for is kept"
                self._watcher.note(f"{error}. {self._describe_progress()}; {unfinished}")
                return
            self._keep(trial, proposal)
            if origin == "baseline":
                self._validate_guards(trial)
            self._budget_tracker.share = search.share_for_trials(log.trials)
            failures = failures + 1 if trial.state == "FAIL" else 0
            if failures >= search.max_failures:
                raise TooManyFailures(
                    f"{failures} trials in a row crashed; the last one: {trial.reason}", count=failures
                )
        if self._done < search.trials and search.minutes is not None and search.share_spent(log) >= 1:
            spent = f"{search.minutes:g} minutes of trials (study.minutes) are spent"
            self._watcher.note(f"{spent} after {self._done} of {search.trials} pipelines; more minutes go on from here")

    def _keep(self, trial: Trial, proposal: Proposal) -> None:
        """Write a finished trial, with what was found damaged while it was evaluated, and tell the watcher."""
        search, log = self._search, self._log
        in_space = trial.origin not in REFERENCES or proposal.spec in search.space
        kept = dataclasses.replace(trial, in_space=in_space, damage=tuple(search.builder.store.take_notes()))
        log.commit(kept, proposal.trial)
        self._watcher.trial_finished(kept, self._done)
        search.folder.damage += (damaged := log.take_damage())
        for text in (*kept.damage, *damaged, *search.builder.take_remarks()):
            self._watcher.note(text)
        if not in_space:
            self._watcher.note(self._describe_outside(kept))

    def _validate_guards(self, baseline: Trial) -> None:
        """Raise BadInput for a guard of a metric that there is not; say of one that it may be of finalists alone."""
        if baseline.state != "COMPLETE":
            return
        columns = self._search.folder.load_column_names(baseline.number)
        known = {*baseline.metrics, *LATENCY_METRICS, *(name for name in columns if "/" in name)}
        for name in self._search.guards.validate_names(known):
            self._watcher.note(f"objective.guards.{name}: trials have no such metric; it can hold for finalists alone")

    def _describe_outside(self, trial: Trial) -> str:
        may_win = "stands for keeping what you have" if trial.origin == "baseline" else "cannot win"
        compared = f"it is compared with, is not one of the {self._search.trials}, {may_win}"
        return f"trial {trial.number} ({trial.origin}) is outside the space: {compared}"

    def _describe_progress(self) -> str:
        share = self._budget_tracker.share
        kept = f" ({1 - share:.0%} of it is kept for the end)" if share < 1 else ""
        return f"{self._done} of {self._search.trials} pipelines were tried{kept}; a higher cap goes on from here"

    def _first_proposals(self) -> Iterator[tuple[Proposal, str]]:
        """Yield what is tried before the sampler is asked, with its origin.

        Reference pipelines, enqueued ones, those of earlier studies.
        """
        search = self._search
        enqueued = [("enqueued", spec) for spec in search.enqueued]
        for origin, spec in [*search.references.items(), *enqueued]:
            written = spec.to_dict()
            if self._identify(written) not in self._tried_digests:
                yield Proposal(written), origin
        for earlier in search.portfolio:
            if self._identify(earlier) not in self._tried_digests:
                yield Proposal(earlier), PORTFOLIO

    def _proposals(self) -> Iterator[tuple[Proposal, str]]:
        """Yield every pipeline to try with its origin: the first ones, then those of sweeps and of the sampler."""
        search = self._search
        for trial in self._retried:  # they were counted when they failed
            if self._budget_tracker.out_of_time():
                break
            yield Proposal(trial.spec), trial.origin
        for first in self._first_proposals():
            if self._is_over():
                return
            yield first
        while not self._is_over():
            if search.sweep:
                self._sweep_new_indexes()
            swept = next((spec for spec in self._swept() if self._identify(spec) not in self._tried_digests), None)
            if swept is not None:
                yield Proposal(swept), "sweep"
                continue
            proposal = self._ask_sampler()
            if proposal is None:
                self._watcher.note("every pipeline of the space was tried")
                return
            if search.stop == "auto" and self._promises_too_little(proposal):
                limit = "the expected improvement of the best new pipeline is less than these questions can tell apart"
                self._watcher.note(f"study.stop=auto: {limit}")
                return
            yield proposal, "sampler"

    def _is_over(self) -> bool:
        """Return whether no trial may begin any more: enough were run, or time is up."""
        if self._search.share_spent(self._log) >= 1:
            return True
        if self._search.folder.was_asked("finish"):
            self._watcher.note(f"a person asked for the end: {self._describe_progress()}")
            return True
        reason = self._budget_tracker.out_of_time()
        if reason:
            self._watcher.note(f"{reason}. {self._describe_progress()}")
        return bool(reason)

    def _swept(self) -> Iterator[SpecDict]:
        for specs in self._sweeps.values():
            yield from specs

    def _sweep_new_indexes(self) -> None:
        """Sweep the lists of each index of the space once, when the first trial that searched its vectors is finished.

        What is not swept is as in the best trial until then.
        """
        search, trials = self._search, self._log.trials
        for position, trial in enumerate(trials):
            if trial.value is None or trial.spec not in search.space:
                continue
            index = digest([trial.spec.get(slot) for slot in INDEX_SLOTS])
            if index in self._sweeps:
                continue
            best = search.best(trials[: position + 1]) or trial
            spec = PipelineSpec.from_dict({**trial.spec, **{slot: best.spec[slot] for slot in ("packer", "generator")}})
            if "dense" in spec.retriever.index_queries():  # else nothing was embedded for it yet
                self._sweeps[index] = self._sweep(trial, spec)

    def _sweep(self, trial: Trial, spec: PipelineSpec) -> tuple[SpecDict, ...]:
        """Return what a sweep over the lists of a trial's index proposes; its table is written, once."""
        search, optimised = self._search, self._search.objective_set.optimised
        price = float(optimised.price_per_1000_tokens) if isinstance(optimised, PricesContext) else 0.0
        try:
            result = sweep(search.builder, spec, search.space, search.questions, price_per_1000_tokens=price)
        except (BadInput, ModelUnusable, BudgetSpent):
            raise
        except Exception as error:  # of any class: a sweep only proposes, and the search goes on without it
            if find_fault(error, search.places) is not None:
                raise
            failed = f"the lists of trial {trial.number} could not be swept"
            self._watcher.note(f"{failed}: {type(error).__name__}: {error}")
            return ()
        if result is None:
            return ()
        if result.specs and not search.folder.sweep_path(trial.number).exists():
            search.folder.save_sweep(trial.number, result.to_dict())
            self._watcher.sweep_finished(trial.number, result)
        return result.specs

    def _ask_sampler(self) -> Proposal | None:
        """Return a pipeline that was not tried, or None when all were.

        A sampler that proposed nothing but what cannot exist, twenty times in a row, is not asked this time.
        """
        search, log = self._search, self._log
        number = len(log.trials)
        cost_forecast = CostForecast()
        if isinstance(search.sampler, ReadsCosts):
            cost_forecast = search.cost_forecaster.cost_forecast(
                log.trials, spent=search.share_of_everything(log), paid=search.sampler.paid
            )
        stuck = number >= _REDRAWS and all(trial.state == "PRUNED" for trial in log.trials[-_REDRAWS:])
        return propose_new(
            search.sampler,
            search.space,
            log.sampling,
            [search.seed, number],
            tried_digests=self._tried_digests,
            cost_forecast=cost_forecast,
            redraws=0 if stuck else _REDRAWS,
        )

    def _promises_too_little(self, proposal: Proposal) -> bool:
        """Return whether the expected improvement is less than the questions can tell apart."""
        best = self._search.best(self._log.trials)
        if best is None or not best.error or proposal.expected_improvement is None:
            return False
        return proposal.expected_improvement < _SMALLEST_GAIN * best.error
