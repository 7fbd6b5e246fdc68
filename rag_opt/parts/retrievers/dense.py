"""Approximate nearest neighbours."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import FloatArray
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.index_queries import DEFAULT_EF_SEARCH, IndexQuery, RetrievalLimits


@register("retriever", "dense")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Dense(RetrievalLimits):
    """Find the nearest chunks by cosine of the embedder's vectors (Chroma: beyond 100,000 chunks approximately)."""

    ef_search: Annotated[int, Ge(10), Le(2000), Doc("Neighbours that a graph looks at; never fewer than depth.")] = (
        DEFAULT_EF_SEARCH
    )

    def index_queries(self) -> dict[str, IndexQuery]:
        """Return the query of its one list."""
        return {"dense": IndexQuery("chroma", self.depth, {}, {"ef_search": self.ef_search})}

    def simplified(self, *, language: str, compares_all: bool) -> Dense:
        """Return the part that does the same over such documents."""
        return dataclasses.replace(self, ef_search=DEFAULT_EF_SEARCH) if compares_all else self

    def gains(self, lists: Mapping[str, RankedLists]) -> dict[str, FloatArray]:
        """Return the scores of the list."""
        return {"dense": lists["dense"].scores.astype(np.float64)}

    def fuse(self, lists: Mapping[str, RankedLists]) -> RankedLists:
        """Return the list as it is."""
        return lists["dense"]
