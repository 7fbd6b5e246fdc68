from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.evaluation.run import Run, Scores, Tools
from rag_opt.registry import register


@register("objective", "context_tokens")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ContextTokens:
    """Tokens of the context that a generator has to read, by one fixed tokenizer."""

    direction: ClassVar[Literal["maximize", "minimize"]] = "minimize"
    needs: ClassVar[frozenset[str]] = frozenset()
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    stored: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = ()

    def score(self, run: Run, tools: Tools) -> Scores:
        return {"cost/context_tokens": run.responses.context_tokens.astype(float)}
