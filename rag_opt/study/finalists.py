"""The end of a search: finalists asked the held-out questions, a winner, and what may be said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.errors import BudgetSpent, ServerFailed
from rag_opt.core.questions import Question
from rag_opt.evaluation.intervals import Interval, find_clusters, paired_gains
from rag_opt.evaluation.selection import Finalist, choose
from rag_opt.pipeline.spec import PipelineSpec, SpecDict
from rag_opt.study.bounds import measure_bounds
from rag_opt.study.evaluation import Evaluation, evaluate
from rag_opt.study.pareto_front import find_pareto_front
from rag_opt.study.search import Search
from rag_opt.study.space.space import Space
from rag_opt.study.trials import Trial

_COSTS = ("cost/usd", "cost/context_tokens", "cost/latency_ms_p50")  # what breaks ties, in turn


@dataclass(frozen=True)
class Result:
    """Outcome of a search.

    `gain` of the winner over the baseline, paired, in the direction in which more is better; unknown where the baseline
    could not be evaluated (`baseline` None). Its interval holds for all `finalists` at once: the winner was picked
    among them by the same questions.

    `indistinguishable`: trials that these questions cannot tell from the winner. `on_held_out` False: there were no
    held-out questions, so every number is of questions that the search optimised. `inputs_encoded`: texts that the
    process which finished the search ran through a model. `front`: with several objectives the Pareto front of the
    trials, on the search questions. `bounds`: means of the winner's generator without any context (closed book) and
    with the evidence itself (gold context). `unfinished`: why not all finalists were asked. `spent`: on language models
    by the whole study, by who asked and what.
    """

    winner: int
    spec: SpecDict
    baseline: int | None
    gain: Interval
    held_out_means: dict[int, float]
    indistinguishable: tuple[int, ...]
    questions: int
    finalists: int
    on_held_out: bool
    metrics: dict[int, dict[str, float]]
    inputs_encoded: int
    front: tuple[int, ...] = ()
    bounds: dict[str, float] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    unfinished: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return plain data for JSON; infinite ends of the interval are null."""
        plain: dict[str, object] = asdict(self)
        plain["gain"] = {name: value if np.isfinite(value) else None for name, value in asdict(self.gain).items()}
        plain["held_out_means"] = {str(number): mean for number, mean in self.held_out_means.items()}
        plain["metrics"] = {str(number): metrics for number, metrics in self.metrics.items()}
        return plain


def rank_eligible(trials: Sequence[Trial], space: Space, *, min_coverage: float, sign: int) -> list[Trial]:
    """Return the trials that may win, best first: complete, with enough of their questions scored, and of the space.

    The baseline and enqueued pipelines may win wherever they are from; another reference pipeline that the space leaves
    out is there to be compared with.
    """
    complete = [t for t in trials if t.state == "COMPLETE" and t.value is not None and t.coverage >= min_coverage]
    eligible = [t for t in complete if t.origin in ("baseline", "enqueued") or t.spec in space]
    return sorted(eligible, key=lambda trial: (-sign * (trial.value or 0.0), trial.number))


def choose_winner(
    search: Search,
    trials: Sequence[Trial],
    held_out: Sequence[Question],
    *,
    count: int,
    min_coverage: float,
    started: Callable[[int, int], None] = lambda done, total: None,
) -> Result | None:
    """Evaluate up to `count` finalists and the baseline on the held-out questions and choose the winner.

    None without a finalist. `started(done, total)` is called before each evaluation. Raises BudgetSpent where nothing
    could be evaluated.
    """
    eligible = rank_eligible(trials, search.space, min_coverage=min_coverage, sign=search.objective_set.sign)
    front = find_pareto_front(eligible, search.objective_set.directions) if search.objective_set.against else []
    best = (front or eligible)[:count]
    if not best:
        return None
    baseline = next((t for t in trials if t.origin == "baseline" and t.state == "COMPLETE"), None)
    questions = tuple(held_out) or search.questions
    compared, unfinished = _evaluate_all(search, _order_finalists(best, baseline), questions, started)
    if not any(finalist.may_win(min_coverage) for finalist in compared):
        return None
    result = _compare(search, compared, baseline, questions, min_coverage=min_coverage, on_held_out=bool(held_out))
    bounds: dict[str, float] = {}
    try:
        bounds = measure_bounds(search, PipelineSpec.from_dict(result.spec), questions)
    except (BudgetSpent, ServerFailed) as error:  # good to know, but nothing depends on it
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


@dataclass(frozen=True)
class _Compared:
    """A finalist, or the baseline, with its evaluation on the held-out questions."""

    trial: Trial
    evaluation: Evaluation

    def may_win(self, min_coverage: float) -> bool:
        """Return whether enough of its search questions and held-out questions could be scored."""
        return self.trial.coverage >= min_coverage and self.evaluation.coverage >= min_coverage


def _order_finalists(best: Sequence[Trial], baseline: Trial | None) -> list[Trial]:
    """Return whom to ask, in turn: the baseline comes second, since without it no gain is known."""
    ordered: list[Trial] = []
    for trial in (best[0], baseline, *best[1:]):
        if trial is not None and trial not in ordered:
            ordered.append(trial)
    return ordered


def _evaluate_all(
    search: Search, trials: Sequence[Trial], questions: Sequence[Question], started: Callable[[int, int], None]
) -> tuple[list[_Compared], str]:
    """Return the trials that could be asked everything, with their evaluations, and why the others were not."""
    budget_tracker, compared = search.builder.budget_tracker, list[_Compared]()
    budget_tracker.share = 1.0
    for position, trial in enumerate(trials):
        started(position, len(trials))
        try:
            budget_tracker.refuse_late()
            spec = PipelineSpec.from_dict(trial.spec)
            evaluation = evaluate(search.builder, spec, questions, search.objective_set, finalist=True)
        except BudgetSpent as error:
            if not compared:
                raise BudgetSpent(f"{error}, and nothing is left for the end; a higher cap goes on from here") from None
            return compared, f"{error}: {position} of {len(trials)} finalists and baseline were asked"
        compared.append(_Compared(trial, evaluation))
        search.folder.save_rows(trial.number, evaluation.run, evaluation.scores, part="held_out")
    return compared, ""


def _compare(
    search: Search,
    compared: Sequence[_Compared],
    baseline: Trial | None,
    questions: Sequence[Question],
    *,
    min_coverage: float,
    on_held_out: bool,
) -> Result:
    """Return the winner among those that may win, beside everything that was compared."""
    sign, clusters = search.objective_set.sign, find_clusters(questions)
    columns = {one.trial.number: sign * one.evaluation.optimised for one in compared}
    finalists = [
        Finalist(
            one.trial.number,
            columns[one.trial.number],
            tuple(one.evaluation.metrics.get(name, 0.0) for name in _COSTS),
        )
        for one in compared
        if one.may_win(min_coverage)
    ]
    choice = choose(finalists, clusters)
    winner = next(one.trial for one in compared if one.trial.number == finalists[choice.winner].number)
    baseline_number = baseline.number if baseline is not None and baseline.number in columns else None
    baseline_column = columns[baseline_number] if baseline_number is not None else None
    return Result(
        winner=winner.number,
        spec=winner.spec,
        baseline=baseline_number,
        gain=_gain(finalists, choice.winner, baseline_column, clusters),
        held_out_means={number: float(sign * np.nanmean(column)) for number, column in columns.items()},
        indistinguishable=tuple(finalists[i].number for i in choice.indistinguishable),
        questions=len(questions),
        finalists=len(finalists),
        on_held_out=on_held_out,
        metrics={one.trial.number: one.evaluation.metrics for one in compared},
        inputs_encoded=search.builder.encoded(),
    )


def _gain(finalists: Sequence[Finalist], winner: int, baseline: FloatArray | None, clusters: Sequence[str]) -> Interval:
    if baseline is None:
        return Interval(float("nan"), float("inf"), float("-inf"), float("inf"))
    return paired_gains([finalist.scores for finalist in finalists], baseline, clusters)[winner]
