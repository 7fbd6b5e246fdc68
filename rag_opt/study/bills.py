"""What a trial asked of language models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from rag_opt.parts.models.spending import copied, grown
from rag_opt.pipeline import Workshop
from rag_opt.records import FloatArray
from rag_opt.study.search import Evaluation

_REASONS, _CHARACTERS = 5, 300
_JUDGED = "cost/judge_"


class Bill:
    """Opened before a trial; `now` says what has come on it since."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._before = copied(workshop.spending.by_who)
        self._failures = Counter(workshop.judge.failures) if workshop.judge is not None else Counter[str]()

    def now(self, done: Evaluation) -> dict[str, Any]:
        """`paid`, `used` and `failures` as a trial keeps them. What was used does not depend on what was stored."""
        more = grown(self._before, self._workshop.spending.by_who)
        paid = {f"{who}/{name}": value for who, numbers in more.items() for name, value in numbers.items()}
        asked = done.run.responses.asked
        calls, given, made = (_summed(done.scores, what) for what in ("calls", "input_tokens", "output_tokens"))
        judge = self._workshop.judge
        usd = judge.settings.usd(given, made) if judge is not None else 0.0
        used = {"calls": float(asked.calls.sum()) + calls, "usd": float(asked.usd.sum()) + usd}
        failures = Counter(why[:_CHARACTERS] for why in asked.failed if why)
        if self._workshop.judge is not None:
            for why, count in (self._workshop.judge.failures - self._failures).items():
                failures[why[:_CHARACTERS]] += count
        return {
            "paid": paid,
            "used": used if used["calls"] else {},
            "failures": dict(failures.most_common(_REASONS)),
        }


def _summed(scores: Mapping[str, FloatArray], what: str) -> float:
    columns = [column for name, column in scores.items() if name.startswith(_JUDGED) and name.endswith(f"_{what}")]
    return float(sum(np.nansum(column) for column in columns))
