"""How much of a budget trials may spend: the end of a search has to be paid for too."""

from __future__ import annotations

from collections.abc import Sequence

from rag_opt.study.bounds import CEILING, FLOOR
from rag_opt.study.cost.model_calls import VERDICT_TOKENS, verdicts
from rag_opt.study.search import Search
from rag_opt.study.trials import Trial

_LEAST = 0.3  # of a cap is there for trials, whatever the end costs
_ASKING = ("search", "rewrite", "rerank", "compare", "answer", "rest")  # stages whose time grows with questions
_PASSAGES = 5.0


def share_for_trials(search: Search, trials: Sequence[Trial], *, held_out: int, finalists: int) -> float:
    """The share of every cap that is left when finalists, baseline, floor and ceiling were asked the untouched
    questions, at what the dearest finished trial cost a question when its answers were first given, and what is judged
    of finalists alone.
    """
    asked = (min(finalists, search.trials) + len((FLOOR, CEILING)) + 1) * (held_out or len(search.questions))
    caps, tried = search.builder.budget_tracker.budget, [trial for trial in trials if trial.asked]
    if not tried:
        return max(1 - asked / (asked + search.trials * len(search.questions)), _LEAST)
    dearest = {name: max(_of_a_question(trial, name) for trial in tried) for name in ("calls", "usd", "minutes")}
    more_calls, more_usd = _of_finalists_alone(search)
    dearest["calls"] += more_calls
    dearest["usd"] += more_usd
    shares = [1.0]
    for cap, name in ((caps.calls, "calls"), (caps.usd, "usd"), (caps.minutes, "minutes")):
        if cap is not None:
            shares.append(1 - asked * dearest[name] / cap)
    return max(min(shares), _LEAST)


def _of_finalists_alone(search: Search) -> tuple[float, float]:
    """Calls and dollars a question."""
    judge = search.builder.judge
    if judge is None:
        return 0.0, 0.0
    more = verdicts(search.objective_set, _PASSAGES, finalist=True) - verdicts(
        search.objective_set, _PASSAGES, finalist=False
    )
    calls = more * judge.as_judge.repeats
    return calls, calls * judge.settings.usd(*VERDICT_TOKENS)


def _of_a_question(trial: Trial, name: str) -> float:
    if name != "minutes":
        return trial.used.get(name, 0.0) / trial.asked
    return sum(took for stage, (_, took) in trial.stages.items() if stage.split(" ")[0] in _ASKING) / 60 / trial.asked
