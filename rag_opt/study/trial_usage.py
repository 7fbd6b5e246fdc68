"""What a trial asked of language models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.models.llm.budget import copied, grown
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.study.evaluation import Evaluation

_REASONS, _CHARACTERS = 5, 300
_JUDGED = "cost/judge_"


class TrialUsage:
    """Opened before a trial; `now` says what has come on it since."""

    def __init__(self, builder: PipelineBuilder) -> None:
        self._builder = builder
        self._before = copied(builder.budget_tracker.by_who)
        self._failures = Counter(builder.judge.failures) if builder.judge is not None else Counter[str]()

    def now(self, done: Evaluation) -> dict[str, Any]:
        """`paid`, `used` and `failures` as a trial keeps them. What was used does not depend on what was stored."""
        more = grown(self._before, self._builder.budget_tracker.by_who)
        paid = {f"{who}/{name}": value for who, numbers in more.items() for name, value in numbers.items()}
        usage = done.run.responses.usage
        calls, given, made = (_summed(done.scores, what) for what in ("calls", "input_tokens", "output_tokens"))
        judge = self._builder.judge
        usd = judge.settings.usd(given, made) if judge is not None else 0.0
        used = {"calls": float(usage.calls.sum()) + calls, "usd": float(usage.usd.sum()) + usd}
        failures = Counter(why[:_CHARACTERS] for why in usage.failed if why)
        if self._builder.judge is not None:
            for why, count in (self._builder.judge.failures - self._failures).items():
                failures[why[:_CHARACTERS]] += count
        return {
            "paid": paid,
            "used": used if used["calls"] else {},
            "failures": dict(failures.most_common(_REASONS)),
        }


def _summed(scores: Mapping[str, FloatArray], what: str) -> float:
    columns = [column for name, column in scores.items() if name.startswith(_JUDGED) and name.endswith(f"_{what}")]
    return float(sum(np.nansum(column) for column in columns))
