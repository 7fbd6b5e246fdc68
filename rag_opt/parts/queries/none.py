"""The question as it was asked."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT


@register("query", "none")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class AsAsked:
    """Search for the question as it was asked."""

    uses_llm: ClassVar[bool] = False
