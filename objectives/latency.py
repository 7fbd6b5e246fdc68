"""Time that a pipeline takes for a question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.evaluation.interfaces import Aggregate, Direction, ObjectiveDefaults
from rag_opt.evaluation.run import Run, Scores, ScoringResources


@register("objective", "latency")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Latency(ObjectiveDefaults):
    """Milliseconds from question to answer on the machine of the search, summed over the stages (see `Responses`)."""

    direction: ClassVar[Direction] = "minimize"
    aggregates: ClassVar[Mapping[str, tuple[Aggregate, ...]]] = {"cost/latency_ms": ("p50", "p95")}
    stored: ClassVar[bool] = False

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return the latency of each question."""
        return {"cost/latency_ms": sum(run.responses.latency_ms.values(), start=np.zeros(len(run.questions)))}
