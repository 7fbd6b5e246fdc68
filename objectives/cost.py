"""What a pipeline costs a question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.evaluation.run import Run, Scores, ScoringResources


@register("objective", "context_tokens")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ContextTokens:
    """Tokens of the context that a generator has to read, by one fixed tokenizer."""

    direction: ClassVar[Literal["maximize", "minimize"]] = "minimize"
    requires: ClassVar[frozenset[str]] = frozenset()
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    stored: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = ()

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        return {"cost/context_tokens": run.responses.context_tokens.astype(float)}


@register("objective", "model_use")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelUse:
    """What the pipeline asks of a language model for a question, dollars first: as it was when each answer was first
    given. Nothing where no model is asked.
    """

    direction: ClassVar[Literal["maximize", "minimize"]] = "minimize"
    requires: ClassVar[frozenset[str]] = frozenset()
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = {"cost/answers_cut_off": ("sum",)}
    stored: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = ()

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        usage = run.responses.usage
        any_asked = bool(usage.calls.any())
        columns = {
            "cost/usd": usage.usd,
            "cost/model_calls": usage.calls,
            "cost/model_input_tokens": usage.input_tokens,
            "cost/model_output_tokens": usage.output_tokens,
            "cost/answers_cut_off": usage.cut,
        }
        return {
            name: np.where(any_asked, column.astype(float), np.nan if name != "cost/usd" else 0.0)
            for name, column in columns.items()
        }
