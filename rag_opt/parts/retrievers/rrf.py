"""Reciprocal rank fusion of vectors and words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import FloatArray
from rag_opt.core.rank_fusion import reciprocal_ranks, sum_gains
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.index_queries import HybridParameters


@register("retriever", "rrf")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReciprocalRankFusion(HybridParameters):
    """Fuse a dense and a lexical list, each giving 1 / (k + rank) to its chunks (Cormack et al., 2009)."""

    k: Annotated[int, Ge(0), Le(1000), Doc("The larger, the less the first ranks stand out.")] = 60

    def gains(self, lists: Mapping[str, RankedLists]) -> dict[str, FloatArray]:
        """Return 1 / (k + rank) for each place of each list."""
        return {name: reciprocal_ranks(one, self.k) for name, one in lists.items()}

    def fuse(self, lists: Mapping[str, RankedLists]) -> RankedLists:
        """Return the chunks by the sum of what their lists give."""
        return sum_gains(lists, self.gains(lists), self.depth)
