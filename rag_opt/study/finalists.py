"""The end of a search: finalists asked the held-out questions, a winner, and what may be said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.errors import BudgetSpent, ServerFailed
from rag_opt.core.questions import Question
from rag_opt.data.splits import Split
from rag_opt.evaluation.decision import Decision, Evidence, decide, find_strata
from rag_opt.evaluation.guards import COVERAGE
from rag_opt.evaluation.interfaces import PricesContext
from rag_opt.evaluation.intervals import Interval, paired_gain
from rag_opt.evaluation.prediction_powered import CorrectedGain, correct_gain, find_errors
from rag_opt.evaluation.refusal import measure_refusal_auc
from rag_opt.evaluation.selection import Finalist, select_distinct
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.bounds import measure_bounds
from rag_opt.study.evaluation import Evaluation, evaluate
from rag_opt.study.latency import measure_latency
from rag_opt.study.pareto_front import find_pareto_front, spread_over
from rag_opt.study.result import Offer, Result
from rag_opt.study.running_baseline import RUNNING, evaluate_running
from rag_opt.study.search import Search
from rag_opt.study.trials import Trial

_CONTEXT = "cost/context_tokens"
_COSTS = ("cost/usd", _CONTEXT)  # what breaks ties, in turn; never a stopwatch
_SHOWN_COSTS = (*_COSTS, "cost/latency_ms_p50")


@dataclass(frozen=True)
class _Compared:
    """A finalist, or the baseline, evaluated on the held-out questions and on all questions.

    `metrics`: on the held-out questions, with its latency; `pooled`: on all questions, the others taken from these.
    `everything`: the evaluation on all questions.
    """

    trial: Trial
    held_out: Evaluation
    everything: Evaluation
    metrics: dict[str, float]
    pooled: dict[str, float]


def choose_winner(
    search: Search,
    trials: Sequence[Trial],
    held_out: Sequence[Question],
    split: Split,
    *,
    count: int,
    started: Callable[[int, int], None] = lambda done, total: None,
) -> Result | None:
    """Evaluate up to `count` finalists and the baseline on the held-out questions and choose the winner.

    None without a finalist. `started(done, total)` is called before each evaluation. Raises BudgetSpent where nothing
    could be evaluated.
    """
    baseline = next((t for t in trials if t.origin == "baseline" and t.state == "COMPLETE"), None)
    eligible = search.rank_eligible(trials)
    front = find_pareto_front(eligible, search.objective_set.directions) if search.objective_set.against else []
    columns = {trial.number: search.load_scores(trial) for trial in eligible}
    ordered = spread_over(front, count) if front else eligible
    chosen = set(select_distinct({trial.number: columns[trial.number] for trial in ordered}, count=count))
    best = [trial for trial in ordered if trial.number in chosen]
    if not best and baseline is None:
        return None
    beside = _evaluate_running(search, held_out)  # first: without it no gain is known
    compared, unfinished = _evaluate_all(search, _order_finalists(best, baseline), held_out, started)
    evidence = _gather_evidence(search, columns, compared, split, beside, has_held_out=bool(held_out))
    outside = _find_outside(search, compared, baseline)
    # whatever it breaks, the baseline stays where nobody keeps the guards; not where it could hardly be scored
    nobody_keeps = all(one.trial.number in outside for one in compared)
    baseline_may_stay = nobody_keeps and COVERAGE not in outside.get(baseline.number if baseline else -1, {})
    optimised = search.objective_set.optimised
    prices_context = isinstance(optimised, PricesContext) and optimised.price_per_1000_tokens > 0
    deciding = [name for name in _COSTS if not (prices_context and name == _CONTEXT)]
    finalists = [
        Finalist(
            one.trial.number,
            evidence.pooled(one.trial.number),
            tuple(one.pooled.get(name, 0.0) for name in deciding),
            full_cost=tuple(one.pooled.get(name, 0.0) for name in _COSTS),
            keeps_guards=one.trial.number not in outside or (one.trial is baseline and baseline_may_stay),
        )
        for one in compared
    ]
    known_baseline = next((one.trial.number for one in compared if one.trial is baseline), None)
    known_baseline = known_baseline if beside is None else RUNNING
    decision = decide(evidence, finalists, baseline=known_baseline)
    if decision is None:
        return None
    everybody = [*compared, *([beside] if beside is not None else [])]
    result = _build_result(search, everybody, decision, evidence, split, outside, has_held_out=bool(held_out))
    result = _with_extras(search, result, held_out or search.questions, front, unfinished)
    in_trials = (text for trial in trials for text in trial.damage)
    return replace(result, damage=(*search.folder.damage, *in_trials, *search.builder.store.take_notes()))


def _order_finalists(best: Sequence[Trial], baseline: Trial | None) -> list[Trial]:
    """Return whom to ask, in turn: the baseline comes second, since without it no gain is known."""
    ordered: list[Trial] = []
    for trial in (*best[:1], baseline, *best[1:]):
        if trial is not None and trial not in ordered:
            ordered.append(trial)
    return ordered


def _evaluate_all(
    search: Search, trials: Sequence[Trial], held_out: Sequence[Question], started: Callable[[int, int], None]
) -> tuple[list[_Compared], str]:
    """Return the trials that could be asked everything, with their evaluations, and why the others were not."""
    budget_tracker, compared = search.builder.budget_tracker, list[_Compared]()
    budget_tracker.share = 1.0
    for position, trial in enumerate(trials):
        started(position, len(trials))
        try:
            budget_tracker.refuse_late()
            compared.append(_evaluate(search, trial, held_out))
        except BudgetSpent as error:
            if not compared:
                raise BudgetSpent(f"{error}, and nothing is left for the end; a higher cap goes on from here") from None
            return compared, f"{error}: {position} of {len(trials)} finalists and baseline were asked"
    return compared, ""


def _evaluate(search: Search, trial: Trial, held_out: Sequence[Question]) -> _Compared:
    builder, objective_set, spec = search.builder, search.objective_set, PipelineSpec.from_dict(trial.spec)
    questions = tuple(held_out) or search.questions
    evaluation = evaluate(builder, spec, questions, objective_set, finalist=True)
    search.folder.save_rows(trial.number, evaluation.run, evaluation.columns, part="held_out")
    pooled = evaluation
    if held_out:  # what was asked in the search is stored
        pooled = evaluate(builder, spec, (*search.questions, *held_out), objective_set)
    latency = measure_latency(builder, spec, questions)
    metrics = {**evaluation.metrics, **latency}
    return _Compared(trial, evaluation, pooled, metrics, {**metrics, **pooled.metrics})


def _evaluate_running(search: Search, held_out: Sequence[Question]) -> _Compared | None:
    """Return what the team runs today, as a finalist is; None where the gain is over a trial."""
    if search.running is None:
        return None
    questions = tuple(held_out) or search.questions
    evaluation = evaluate_running(search, search.running, questions, finalist=True)
    everything = (*search.questions, *held_out)
    pooled = evaluate_running(search, search.running, everything) if held_out else evaluation
    trial = Trial(RUNNING, "COMPLETE", {}, "running")
    return _Compared(trial, evaluation, pooled, evaluation.metrics, {**evaluation.metrics, **pooled.metrics})


def _gather_evidence(
    search: Search,
    columns: dict[int, FloatArray],
    compared: Sequence[_Compared],
    split: Split,
    beside: _Compared | None,
    *,
    has_held_out: bool,
) -> Evidence:
    sign = search.objective_set.sign
    searched = dict(columns)
    for one in compared:
        if one.trial.number not in searched:  # the baseline, where it cannot win
            searched[one.trial.number] = search.load_scores(one.trial)
    asked = [*compared, *([beside] if beside is not None else [])]
    held_out = {one.trial.number: sign * one.held_out.optimised for one in asked} if has_held_out else {}
    if beside is not None:
        searched[RUNNING] = sign * beside.everything.optimised[: len(search.questions)]
    strata = find_strata(split, held_out=has_held_out)
    return Evidence(searched, held_out, split.search_units, split.held_out_units, strata)


def _find_outside(search: Search, compared: Sequence[_Compared], baseline: Trial | None) -> dict[int, dict[str, float]]:
    """Return by trial the guards that it breaks on all questions, with how far it is outside."""
    reference = next((one.pooled for one in compared if one.trial is baseline), None)
    broken = {one.trial.number: search.guards.broken(one.pooled, reference) for one in compared}
    return {number: excesses for number, excesses in broken.items() if excesses}


def _build_result(
    search: Search,
    compared: Sequence[_Compared],
    decision: Decision,
    evidence: Evidence,
    split: Split,
    outside: dict[int, dict[str, float]],
    *,
    has_held_out: bool,
) -> Result:
    sign, by_number = search.objective_set.sign, {one.trial.number: one for one in compared}
    winner, baseline = by_number[decision.winner], decision.baseline
    reference = by_number[baseline] if baseline is not None else None

    beside = baseline == RUNNING

    def mean(scores: Callable[[int], FloatArray], number: int) -> float:
        """Return a mean; beside what stands there, over the questions that it has a score for."""
        column = np.where(np.isnan(scores(RUNNING)), np.nan, scores(number)) if beside else scores(number)
        return float(sign * np.nanmean(column)) if not np.isnan(column).all() else float("nan")

    return Result(
        winner=decision.winner,
        spec=winner.trial.spec,
        baseline=baseline,
        verdict=decision.verdict,
        why=_describe_choice(decision, has_held_out=has_held_out),
        claim=split.claim,
        gain=decision.gain,
        expected_gain=decision.expected_gain,
        questions_to_tell=decision.questions_to_tell,
        pooled_means=(
            {number: mean(evidence.pooled, number) for number in by_number}
            if beside
            else {number: sign * value for number, value in decision.means.items()}
        ),
        held_out_means={number: mean(evidence.judged, number) for number in by_number},
        searched_means={number: mean(evidence.search.__getitem__, number) for number in by_number},
        indistinguishable=decision.indistinguishable,
        offer=_build_offer(decision, by_number),
        outside=outside,
        questions=int((~np.isnan(evidence.judged(RUNNING))).sum()) if beside else len(evidence.judged_clusters),
        finalists=len([number for number in by_number if number != baseline]),
        tried=len(evidence.search.keys() - {RUNNING}),
        running=search.running.name if search.running is not None else "",
        on_held_out=has_held_out,
        metrics={number: one.metrics for number, one in by_number.items()},
        removed=_find_removed(search, winner.trial),
        scored={number: one.held_out.counts for number, one in by_number.items()},
        inputs_encoded=search.builder.encoded(),
        gains=_gains_of_others(search, winner, reference, evidence),
        corrected=_correct_by_labels(search, winner, reference, decision),
        refusal_auc=measure_refusal_auc(winner.everything.run),
    )


def _find_removed(search: Search, winner: Trial) -> tuple[str, ...]:
    """Return the kinds that the space leaves out of the baseline, where that won; an enqueued pipeline is exported."""
    if winner.origin != "baseline":
        return ()
    chosen = {slot: next(iter(part)) for slot, part in winner.spec.items()}
    return tuple(
        f"{slot}.{kind}" for slot, kind in chosen.items() if kind not in search.space.tree.get(slot, {kind: {}})
    )


def _describe_choice(decision: Decision, *, has_held_out: bool) -> str:
    where = "search and held-out questions together" if has_held_out else "the search questions"
    if decision.winner == decision.best:
        return f"best mean of the finalists, over {where}"
    shortfall = decision.means[decision.best] - decision.means[decision.winner]
    return (
        f"cheaper than trial {decision.best}, whose mean over {where} is {shortfall * 100:.1f} points better: within "
        f"one standard error and the margin of {decision.margin * 100:.1f} points"
    )


def _build_offer(decision: Decision, by_number: dict[int, _Compared]) -> Offer | None:
    if decision.offered is None:
        return None
    ours, winner = by_number[decision.offered].pooled, by_number[decision.winner].pooled
    costs = {name: (winner[name], ours[name]) for name in _SHOWN_COSTS if name in ours and name in winner}
    loses = decision.means[decision.winner] - decision.means[decision.offered]
    return Offer(decision.offered, loses, costs)


def _gains_of_others(
    search: Search, winner: _Compared, baseline: _Compared | None, evidence: Evidence
) -> dict[str, Interval]:
    """Return the winner's gain in each objective that is optimised against the first, on the held-out questions."""
    gains: dict[str, Interval] = {}
    if baseline is None:
        return gains
    for objective, ours, theirs in zip(
        search.objective_set.against, winner.held_out.others, baseline.held_out.others, strict=True
    ):
        sign = 1 if objective.direction == "maximize" else -1
        gains[objective.kind] = paired_gain(sign * ours, sign * theirs, evidence.judged_clusters)
    return gains


def _correct_by_labels(
    search: Search, winner: _Compared, baseline: _Compared | None, decision: Decision
) -> CorrectedGain | None:
    """Return the judged gain with people's labels of the answers counted; None without any labels or gain."""
    if not search.labels or baseline is None or winner is baseline:
        return None
    sign = search.objective_set.sign
    ours, theirs = (
        sign * find_errors(one.everything.run, one.everything.optimised, search.labels) for one in (winner, baseline)
    )
    return correct_gain(decision.gain, ours, theirs)


def _with_extras(
    search: Search, result: Result, questions: Sequence[Question], front: Sequence[Trial], unfinished: str
) -> Result:
    """Return the result with what is good to know, but nothing depends on."""
    bounds: dict[str, float] = {}
    try:
        bounds = measure_bounds(search, PipelineSpec.from_dict(result.spec), questions)
    except (BudgetSpent, ServerFailed) as error:
        unfinished = unfinished or f"closed-book and gold-context bounds: {error}"
    by_who = search.builder.budget_tracker.by_who
    spent = {f"{who}/{name}": float(value) for who, usage in by_who.items() for name, value in asdict(usage).items()}
    return replace(
        result,
        front=tuple(trial.number for trial in front),
        bounds=bounds,
        unfinished=unfinished,
        spent=spent,
        inputs_encoded=search.builder.encoded(),
    )
