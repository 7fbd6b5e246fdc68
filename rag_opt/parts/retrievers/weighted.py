from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.fetching import HybridSettings
from rag_opt.rankings import combine
from rag_opt.records import Candidates, FloatArray
from rag_opt.registry import register


@register("retriever", "weighted")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Weighted(HybridSettings):
    """Dense and lexical scores mixed: `weight` dense + (1 - `weight`) lexical, each list scaled from its worst to its
    best (`min_max`) or by its standard deviation above its worst (`z_score`). A chunk that a list does not hold counts
    there as its worst.
    """

    weight: Annotated[float, Ge(0), Le(1)] = 0.5
    scaling: Literal["min_max", "z_score"] = "min_max"

    def gains(self, lists: Mapping[str, Candidates]) -> dict[str, FloatArray]:
        weights = {"dense": self.weight, "lexical": 1 - self.weight}
        return {
            name: weights[name] * (one.scaled if self.scaling == "min_max" else one.standardised)
            for name, one in lists.items()
        }

    def fuse(self, lists: Mapping[str, Candidates]) -> Candidates:
        return combine(lists, self.gains(lists), self.depth)
