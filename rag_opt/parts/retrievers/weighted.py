from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import FloatArray
from rag_opt.core.rank_fusion import combine
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.index_queries import HybridParameters


@register("retriever", "weighted")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Weighted(HybridParameters):
    """Dense and lexical scores mixed: `weight` dense + (1 - `weight`) lexical, each list scaled from its worst to its
    best (`min_max`) or by its standard deviation above its worst (`z_score`). A chunk that a list does not hold counts
    there as its worst.
    """

    weight: Annotated[float, Ge(0), Le(1)] = 0.5
    scaling: Literal["min_max", "z_score"] = "min_max"

    def gains(self, lists: Mapping[str, RankedLists]) -> dict[str, FloatArray]:
        weights = {"dense": self.weight, "lexical": 1 - self.weight}
        return {
            name: weights[name] * (one.scaled if self.scaling == "min_max" else one.standardised)
            for name, one in lists.items()
        }

    def fuse(self, lists: Mapping[str, RankedLists]) -> RankedLists:
        return combine(lists, self.gains(lists), self.depth)
