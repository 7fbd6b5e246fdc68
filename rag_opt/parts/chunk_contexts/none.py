"""Nothing before a chunk."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT


@register("chunk_context", "none")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoContext:
    """Embed and index chunks as they were cut."""

    uses_llm: ClassVar[bool] = False
    most_tokens: ClassVar[int] = 0
