from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.fetching import HybridSettings
from rag_opt.rankings import combine, reciprocal_ranks
from rag_opt.records import Candidates, FloatArray
from rag_opt.registry import register


@register("retriever", "rrf")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReciprocalRankFusion(HybridSettings):
    """Dense and lexical lists, each giving 1 / (k + rank) to its chunks (Cormack et al., 2009)."""

    k: Annotated[int, Ge(0), Le(1000)] = 60

    def gains(self, lists: Mapping[str, Candidates]) -> dict[str, FloatArray]:
        return {name: reciprocal_ranks(one, self.k) for name, one in lists.items()}

    def fuse(self, lists: Mapping[str, Candidates]) -> Candidates:
        return combine(lists, self.gains(lists), self.depth)
