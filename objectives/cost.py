"""Tokens and dollars that a pipeline costs for a question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.evaluation.interfaces import Aggregate, Direction, ObjectiveDefaults
from rag_opt.evaluation.run import Run, Scores, ScoringResources


@register("objective", "context_tokens")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ContextTokens(ObjectiveDefaults):
    """Tokens of the context that a generator has to read, counted by one fixed tokenizer."""

    direction: ClassVar[Direction] = "minimize"
    stored: ClassVar[bool] = False
    reads_answers: ClassVar[bool] = False

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return the tokens of each question's context."""
        return {"cost/context_tokens": run.responses.context_tokens.astype(float)}


@register("objective", "model_use")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelUse(ObjectiveDefaults):
    """Dollars, calls and tokens of the language model for a question.

    They are those of the time when each answer was first given, so stored answers count like new ones. Where the
    pipeline calls no model, dollars are 0 and the others do not apply.
    """

    direction: ClassVar[Direction] = "minimize"
    aggregates: ClassVar[Mapping[str, tuple[Aggregate, ...]]] = {
        "cost/answers_cut_off": ("sum",),
        "cost/replies_unused": ("sum",),
    }
    stored: ClassVar[bool] = False
    reads_answers: ClassVar[bool] = False
    prices_answers: ClassVar[bool] = True

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return dollars first, then calls, tokens, answers cut off at the limit of tokens, replies of no use."""
        usage = run.responses.usage
        usd = usage.usd.astype(float)
        counts = {
            "cost/model_calls": usage.calls,
            "cost/model_input_tokens": usage.input_tokens,
            "cost/model_output_tokens": usage.output_tokens,
            "cost/model_cached_tokens": usage.cached_tokens,
            "cost/answers_cut_off": usage.cut,
            "cost/replies_unused": usage.unused,
        }
        if not usage.calls.any():
            return {"cost/usd": np.zeros(len(usd)), **{name: np.full(len(usd), np.nan) for name in counts}}
        return {"cost/usd": usd, **{name: count.astype(float) for name, count in counts.items()}}
