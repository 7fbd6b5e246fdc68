from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import FloatArray
from rag_opt.core.rank_fusion import combine, reciprocal_ranks
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.index_queries import HybridParameters


@register("retriever", "rrf")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReciprocalRankFusion(HybridParameters):
    """Dense and lexical lists, each giving 1 / (k + rank) to its chunks (Cormack et al., 2009)."""

    k: Annotated[int, Ge(0), Le(1000)] = 60

    def gains(self, lists: Mapping[str, RankedLists]) -> dict[str, FloatArray]:
        return {name: reciprocal_ranks(one, self.k) for name, one in lists.items()}

    def fuse(self, lists: Mapping[str, RankedLists]) -> RankedLists:
        return combine(lists, self.gains(lists), self.depth)
