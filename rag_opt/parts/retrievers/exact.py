"""Exact nearest neighbours."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import FloatArray
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.index_queries import IndexQuery, RetrievalLimits


@register("retriever", "exact")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Exact(RetrievalLimits):
    """Find the nearest chunks by cosine, comparing every chunk."""

    precision: Annotated[Literal["float32", "int8"], Doc("Of the vectors in memory; int8 takes a quarter.")] = "float32"
    oversample: Annotated[int, Ge(1), Le(100), Doc("With int8 so many times depth are scored again in float32.")] = 4

    def index_queries(self) -> dict[str, IndexQuery]:
        """Return the query of its one list."""
        search = {"oversample": self.oversample} if self.precision == "int8" else {}
        return {"dense": IndexQuery("exact", self.depth, {"precision": self.precision}, search)}

    def simplified(self, *, language: str, compares_all: bool) -> Exact:
        """Return the part that does the same over such documents."""
        return dataclasses.replace(self, oversample=Exact.oversample) if self.precision == "float32" else self

    def gains(self, lists: Mapping[str, RankedLists]) -> dict[str, FloatArray]:
        """Return the scores of the list."""
        return {"dense": lists["dense"].scores.astype(np.float64)}

    def fuse(self, lists: Mapping[str, RankedLists]) -> RankedLists:
        """Return the list as it is."""
        return lists["dense"]
