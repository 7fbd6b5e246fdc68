"""Time that a pipeline takes for a question when it is asked many at once."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.evaluation.interfaces import Direction, ObjectiveDefaults
from rag_opt.evaluation.run import Run, Scores, ScoringResources


@register("objective", "batch_time")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class BatchTime(ObjectiveDefaults):
    """Milliseconds of a question asked with all others, on the machine of the search (see `Responses`).

    It says how many questions an hour are answered, not how long one waits: that is `cost/latency_ms_p50` and `_p95` of
    finalists, which are asked one question at a time.
    """

    direction: ClassVar[Direction] = "minimize"
    stored: ClassVar[bool] = False
    reads_answers: ClassVar[bool] = False
    prices_answers: ClassVar[bool] = True

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return each question's share of the time of all."""
        return {"cost/batch_ms": sum(run.responses.latency_ms.values(), start=np.zeros(len(run.questions)))}
