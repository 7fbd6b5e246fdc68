from __future__ import annotations

from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.records import ChunkColumns, IntArray
from rag_opt.registry import register


@register("expander", "none")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoExpander:
    """A hit returns its chunk."""

    def expand(self, chunks: ChunkColumns) -> tuple[IntArray, IntArray]:
        return chunks.start, chunks.end
