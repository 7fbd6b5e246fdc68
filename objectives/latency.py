from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.evaluation.run import Run, Scores, ScoringResources


@register("objective", "latency")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Latency:
    """Milliseconds from question to answer on the machine of the search, summed over stages (see `Responses`)."""

    direction: ClassVar[Literal["maximize", "minimize"]] = "minimize"
    requires: ClassVar[frozenset[str]] = frozenset()
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = {"cost/latency_ms": ("p50", "p95")}
    stored: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = ()

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        return {"cost/latency_ms": sum(run.responses.latency_ms.values())}  # type: ignore[dict-item]  # never empty
