"""Words alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import FloatArray
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.index_queries import BM25Parameters, IndexQuery, RetrievalLimits


@register("retriever", "lexical")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Lexical(RetrievalLimits, BM25Parameters):
    """Find the best chunks by BM25; a chunk that shares no word with the question is not one of them."""

    def index_queries(self) -> dict[str, IndexQuery]:
        """Return the query of its one list."""
        return {"lexical": self.bm25_query(self.depth)}

    def simplified(self, *, language: str, compares_all: bool) -> Lexical:
        """Return the part that does the same over such documents."""
        return self.in_language(language)

    def gains(self, lists: Mapping[str, RankedLists]) -> dict[str, FloatArray]:
        """Return the scores of the list."""
        return {"lexical": lists["lexical"].scores.astype(np.float64)}

    def fuse(self, lists: Mapping[str, RankedLists]) -> RankedLists:
        """Return the list as it is."""
        return lists["lexical"]
