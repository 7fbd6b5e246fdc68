"""Expansion to the neighbours of a chunk."""

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


@register("expander", "window")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Window:
    """Return a chunk with some neighbours of the same document."""

    before: Annotated[int, Ge(0), Le(50), Doc("Chunks before it.")] = 1
    after: Annotated[int, Ge(0), Le(50), Doc("Chunks after it.")] = 1

    def expand(self, chunks: ChunkColumns) -> tuple[IntArray, IntArray]:
        """Return start and end of what each chunk returns. Chunks lie in the order of their documents and starts."""
        rows = np.arange(len(chunks.document))
        first = np.searchsorted(chunks.document, chunks.document, side="left")
        last = np.searchsorted(chunks.document, chunks.document, side="right") - 1
        start = chunks.start[np.maximum(rows - self.before, first)]
        # a neighbour that overlaps may end before the chunk itself does
        return start, np.maximum(chunks.end, chunks.end[np.minimum(rows + self.after, last)])
