"""How much of a budget trials may spend: the end of a search has to be paid for too."""

from __future__ import annotations

from collections.abc import Sequence

from rag_opt.study.bounds import CEILING, FLOOR
from rag_opt.study.search import Search
from rag_opt.study.trials import Trial

_LEAST = 0.3  # of a cap is there for trials, whatever the end costs


def share_for_trials(search: Search, trials: Sequence[Trial], *, held_out: int, finalists: int) -> float:
    """The share of every cap that is left when finalists, baseline, floor and ceiling were asked the untouched
    questions, at what the dearest finished trial cost a question when its answers were first given.
    """
    asked = (min(finalists, search.trials) + len((FLOOR, CEILING)) + 1) * (held_out or len(search.questions))
    caps = search.workshop.spending.budget
    if not trials:
        return max(1 - asked / (asked + search.trials * len(search.questions)), _LEAST)
    shares = [1.0]
    for cap, name in ((caps.calls, "calls"), (caps.usd, "usd"), (caps.minutes, "minutes")):
        if cap is not None:
            dearest = max(_of_a_question(trial, name) for trial in trials)
            shares.append(1 - asked * dearest / cap)
    return max(min(shares), _LEAST)


def _of_a_question(trial: Trial, name: str) -> float:
    whole = trial.seconds / 60 if name == "minutes" else trial.used.get(name, 0.0)
    return whole / max(trial.asked, 1)
