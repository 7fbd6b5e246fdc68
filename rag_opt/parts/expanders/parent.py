"""Expansion to the parent of a chunk."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import IntArray
from rag_opt.core.ranked_lists import ChunkColumns
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT


@register("expander", "parent")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Parent:
    """Return the larger span that a chunk is a part of: neighbouring chunks joined up to `size` tokens.

    A chunk that is larger itself is its own parent; hits with the same parent count once.
    """

    size: Annotated[int, Ge(16), Le(32768), Doc("Largest parent, in tokens of the embedder.")] = 512

    def expand(self, chunks: ChunkColumns) -> tuple[IntArray, IntArray]:
        """Return start and end of each chunk's parent. Chunks lie in the order of their documents and starts."""
        start, end = chunks.start.copy(), chunks.end.copy()
        first = 0
        for row in range(1, len(start) + 1):
            if row < len(start) and self._together(chunks, first, row):
                continue
            start[first:row] = chunks.start[first]
            end[first:row] = np.max(chunks.end[first:row])
            first = row
        return start, end

    def _together(self, chunks: ChunkColumns, first: int, row: int) -> bool:
        if chunks.document[first] != chunks.document[row]:
            return False
        # what two chunks share is counted once, by its share of the characters
        covered = chunks.end[row] - chunks.start[first]
        characters = int((chunks.end[first : row + 1] - chunks.start[first : row + 1]).sum())
        tokens = int(chunks.tokens[first : row + 1].sum())
        return bool(tokens * min(1.0, covered / max(characters, 1)) <= self.size)
