"""No expansion: a hit returns its chunk."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import IntArray
from rag_opt.core.ranked_lists import ChunkColumns
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT


@register("expander", "none")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoExpander:
    """Return the chunk itself."""

    def expand(self, chunks: ChunkColumns) -> tuple[IntArray, IntArray]:
        """Return start and end of every chunk."""
        return chunks.start, chunks.end
