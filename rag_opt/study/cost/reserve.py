"""Budget kept for the end of a search, when the finalists are asked the held-out questions."""

from __future__ import annotations

from collections.abc import Sequence

from rag_opt.study.bounds import BOUNDS
from rag_opt.study.cost.model_calls import VERDICT_TOKENS, count_judge_calls
from rag_opt.study.search import Search
from rag_opt.study.trials import Trial

_MIN_SHARE = 0.3  # of a cap is there for trials, whatever the end costs
_GROWING_STAGES = ("search", "rewrite", "rerank", "compare", "answer", "rest")  # whose time grows with questions
_USUAL_PASSAGES = 5.0


def share_for_trials(search: Search, trials: Sequence[Trial], *, held_out: int, finalists: int) -> float:
    """Return the share of every cap that trials may spend, in [0.3, 1].

    The rest is kept to ask finalists, baseline and both bounds the held-out questions, at what the most expensive
    finished trial cost per question when its answers were first given, and for what is judged of finalists alone.
    """
    asked = (min(finalists, search.trials) + len(BOUNDS) + 1) * (held_out or len(search.questions))
    caps, tried = search.builder.budget_tracker.budget, [trial for trial in trials if trial.asked]
    if not tried:
        return max(1 - asked / (asked + search.trials * len(search.questions)), _MIN_SHARE)
    most = {name: max(_cost_per_question(trial, name) for trial in tried) for name in ("calls", "usd", "minutes")}
    more_calls, more_usd = _judging_of_finalists(search)
    most["calls"] += more_calls
    most["usd"] += more_usd
    shares = [1.0]
    for cap, name in ((caps.calls, "calls"), (caps.usd, "usd"), (caps.minutes, "minutes")):
        if cap is not None:
            shares.append(1 - asked * most[name] / cap)
    return max(min(shares), _MIN_SHARE)


def _judging_of_finalists(search: Search) -> tuple[float, float]:
    """Return calls and dollars per question that only finalists cost."""
    judge = search.builder.judge
    if judge is None:
        return 0.0, 0.0
    of_finalists = count_judge_calls(search.objective_set, _USUAL_PASSAGES, finalist=True)
    of_trials = count_judge_calls(search.objective_set, _USUAL_PASSAGES, finalist=False)
    calls = (of_finalists - of_trials) * judge.as_judge.repeats
    return calls, calls * judge.settings.usd(*VERDICT_TOKENS)


def _cost_per_question(trial: Trial, name: str) -> float:
    if name != "minutes":
        return trial.used.get(name, 0.0) / trial.asked
    seconds = sum(took for stage, (_, took) in trial.stages.items() if stage.split(" ")[0] in _GROWING_STAGES)
    return seconds / 60 / trial.asked
