from __future__ import annotations

from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import IntArray
from rag_opt.core.ranked_lists import ChunkColumns
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT


@register("expander", "none")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoExpander:
    """A hit returns its chunk."""

    def expand(self, chunks: ChunkColumns) -> tuple[IntArray, IntArray]:
        return chunks.start, chunks.end
