"""Usage of language models by one trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypedDict

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.models.llm.budget import usage_between
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.study.evaluation import Evaluation

_REASONS_KEPT, _REASON_CHARACTERS = 5, 300
_JUDGE_PREFIX = "cost/judge_"


class UsageFields(TypedDict):
    """The fields of a `Trial` that say what language models did for it."""

    paid: dict[str, float]
    used: dict[str, float]
    failures: dict[str, int]


class TrialUsage:
    """Usage since this object was made, before a trial."""

    def __init__(self, builder: PipelineBuilder) -> None:
        self._builder = builder
        self._before = builder.budget_tracker.snapshot()
        self._failures = Counter(builder.judge.failures) if builder.judge is not None else Counter[str]()

    def fields(self, evaluation: Evaluation) -> UsageFields:
        """Return the usage of a trial with this evaluation. What was used does not depend on what was stored."""
        increase = usage_between(self._before, self._builder.budget_tracker.snapshot())
        paid = {f"{who}/{name}": value for who, numbers in increase.items() for name, value in numbers.items()}
        usage = evaluation.run.responses.usage
        calls, input_tokens, output_tokens = (
            _sum_of_judge(evaluation.scores, quantity) for quantity in ("calls", "input_tokens", "output_tokens")
        )
        judge = self._builder.judge
        usd = judge.settings.usd(input_tokens, output_tokens) if judge is not None else 0.0
        used = {"calls": float(usage.calls.sum()) + calls, "usd": float(usage.usd.sum()) + usd}
        failures = Counter(reason[:_REASON_CHARACTERS] for reason in usage.failed if reason) + usage.reasons
        if judge is not None:
            for reason, count in (judge.failures - self._failures).items():
                failures[reason[:_REASON_CHARACTERS]] += count
        return {
            "paid": paid,
            "used": used if used["calls"] else {},
            "failures": dict(failures.most_common(_REASONS_KEPT)),
        }


def _sum_of_judge(scores: Mapping[str, FloatArray], quantity: str) -> float:
    columns = [
        column for name, column in scores.items() if name.startswith(_JUDGE_PREFIX) and name.endswith(f"_{quantity}")
    ]
    return float(sum(np.nansum(column) for column in columns))
