"""The end of a search: finalists asked the questions that it never saw, a winner, and what may be said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.errors import BudgetSpent, ServerFailed
from rag_opt.core.questions import Question
from rag_opt.evaluation.intervals import Interval, clusters_of, paired_gains
from rag_opt.evaluation.selection import Finalist, choose
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.bounds import bounds
from rag_opt.study.evaluation import Evaluation, evaluate
from rag_opt.study.pareto_front import front
from rag_opt.study.search import Search
from rag_opt.study.space.space import Space, SpecDict
from rag_opt.study.trials import Trial

_CHEAPER = ("cost/usd", "cost/context_tokens", "cost/latency_ms_p50")  # what breaks ties, in turn


@dataclass(frozen=True)
class Result:
    """`gain` of the winner over the baseline, paired, in the direction in which more is better; unknown when the
    baseline could not be evaluated (`baseline` None). Its interval holds for all `finalists` at once: the winner
    was picked among them by the same questions.

    `alike`: trials that these questions cannot tell apart from the best. `untouched` False: there were no
    questions left aside, so every number is of questions that the search optimised.
    `inputs_encoded`: texts that the process which finished the search ran through a model. `front`: with several
    objectives, the trials that none beats in all of them, on the search questions. `bounds`: means that the winner's
    generator has without any context and with the evidence itself. `unfinished`: why not all finalists were asked.
    `spent`: on language models by the whole study, by who asked and what.
    """

    winner: int
    spec: SpecDict
    baseline: int | None
    gain: Interval
    held_out_means: dict[int, float]
    alike: tuple[int, ...]
    questions: int
    finalists: int
    untouched: bool
    metrics: dict[int, dict[str, float]]
    inputs_encoded: int
    front: tuple[int, ...] = ()
    bounds: dict[str, float] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    unfinished: str = ""

    def to_dict(self) -> dict[str, Any]:
        plain = asdict(self)
        plain["gain"] = {key: value if np.isfinite(value) else None for key, value in plain["gain"].items()}
        plain["held_out_means"] = {str(k): v for k, v in self.held_out_means.items()}
        plain["metrics"] = {str(k): v for k, v in self.metrics.items()}
        return plain


def finalists(trials: Sequence[Trial], space: Space, *, count: int, min_coverage: float, sign: int) -> list[Trial]:
    """The best trials that may win: complete, with enough of their questions scored, and of the space.

    The baseline may win wherever it is from (then nothing that was tried is better); another reference
    pipeline that the space leaves out is there to be compared with.
    """
    done = [t for t in trials if t.state == "COMPLETE" and t.value is not None and t.coverage >= min_coverage]
    able = [t for t in done if t.origin == "baseline" or t.spec in space]
    return sorted(able, key=lambda t: (-sign * (t.value or 0.0), t.number))[:count]


def finish(
    search: Search,
    trials: Sequence[Trial],
    held_out: Sequence[Question],
    *,
    count: int,
    min_coverage: float,
    started: Callable[[int, int], None] = lambda done, total: None,
) -> Result | None:
    """Evaluate the finalists and the baseline on the untouched questions and choose. None without a finalist."""
    eligible = finalists(
        trials, search.space, count=len(trials), min_coverage=min_coverage, sign=search.objective_set.sign
    )
    several = front(eligible, search.objective_set.directions) if search.objective_set.against else []
    best = (several or eligible)[:count]
    if not best:
        return None
    baseline = next((t for t in trials if t.origin == "baseline" and t.state == "COMPLETE"), None)
    questions = tuple(held_out) or search.questions
    entered, done, unfinished = _asked(search, _entered(best, baseline), questions, started)
    baseline = baseline if baseline in entered else None
    able = [t.coverage >= min_coverage and one.coverage >= min_coverage for t, one in zip(entered, done, strict=True)]
    if not any(able):
        return None
    result = _result(search, entered, done, able, baseline, questions, untouched=bool(held_out))
    within: dict[str, float] = {}
    try:
        within = bounds(search, PipelineSpec.from_dict(result.spec), questions)
    except (BudgetSpent, ServerFailed) as error:  # good to know, but nothing depends on it
        unfinished = unfinished or f"floor and ceiling: {error}"
    by_who = search.builder.budget_tracker.by_who
    spent = {f"{who}/{name}": float(value) for who, one in by_who.items() for name, value in asdict(one).items()}
    numbers = tuple(trial.number for trial in several)
    encoded = search.builder.encoded()
    return replace(result, front=numbers, bounds=within, unfinished=unfinished, spent=spent, inputs_encoded=encoded)


def _entered(best: Sequence[Trial], baseline: Trial | None) -> list[Trial]:
    """Whom to ask, in turn: the baseline comes second, since without it no gain is known."""
    found: list[Trial] = []
    for one in (best[0], baseline, *best[1:]):
        if one is not None and one not in found:
            found.append(one)
    return found


def _asked(
    search: Search, entered: list[Trial], questions: Sequence[Question], started: Callable[[int, int], None]
) -> tuple[list[Trial], list[Evaluation], str]:
    """Those that could be asked everything, with what came of it, and why the others were not."""
    budget_tracker, done = search.builder.budget_tracker, list[Evaluation]()
    budget_tracker.share = 1.0
    for position, trial in enumerate(entered):
        started(position, len(entered))
        try:
            budget_tracker.refuse_late()
            done.append(
                evaluate(
                    search.builder, PipelineSpec.from_dict(trial.spec), questions, search.objective_set, finalist=True
                )
            )
        except BudgetSpent as error:
            if not done:
                raise BudgetSpent(f"{error}, and nothing is left for the end; a higher cap goes on from here") from None
            return entered[:position], done, f"{error}: {position} of {len(entered)} finalists and baseline were asked"
        search.folder.save_rows(trial.number, done[-1].run, done[-1].scores, part="held_out")
    return entered, done, ""


def _result(
    search: Search,
    entered: Sequence[Trial],
    done: Sequence[Evaluation],
    able: Sequence[bool],
    baseline: Trial | None,
    questions: Sequence[Question],
    *,
    untouched: bool,
) -> Result:
    """Only those that are `able` (enough of their questions scored, seen and unseen) can win."""
    sign, clusters = search.objective_set.sign, clusters_of(questions)
    columns = [sign * one.optimised for one in done]
    costs = [tuple(one.metrics.get(name, 0.0) for name in _CHEAPER) for one in done]
    all_of_them = [Finalist(t.number, column, cost) for t, column, cost in zip(entered, columns, costs, strict=True)]
    field = [finalist for finalist, yes in zip(all_of_them, able, strict=True) if yes]
    choice = choose(field, clusters)
    winner = next(t for t in entered if t.number == field[choice.winner].number)
    return Result(
        winner=winner.number,
        spec=winner.spec,
        baseline=baseline.number if baseline else None,
        gain=_gain(field, choice.winner, columns[entered.index(baseline)] if baseline else None, clusters),
        held_out_means={t.number: float(sign * np.nanmean(c)) for t, c in zip(entered, columns, strict=True)},
        alike=tuple(field[i].number for i in choice.alike),
        questions=len(questions),
        finalists=len(field),
        untouched=untouched,
        metrics={t.number: one.metrics for t, one in zip(entered, done, strict=True)},
        inputs_encoded=search.builder.encoded(),
    )


def _gain(field: Sequence[Finalist], winner: int, baseline: FloatArray | None, clusters: Sequence[str]) -> Interval:
    if baseline is None:
        return Interval(float("nan"), float("inf"), float("-inf"), float("inf"))
    return paired_gains([finalist.scores for finalist in field], baseline, clusters)[winner]
