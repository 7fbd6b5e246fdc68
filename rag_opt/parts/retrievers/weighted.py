from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.rankings import combine
from rag_opt.records import Candidates, FloatArray
from rag_opt.registry import register


@register("retriever", "weighted")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Weighted:
    """Dense and lexical scores, each list scaled to [0, 1], mixed: `weight` dense + (1 - `weight`) lexical."""

    top_k: Annotated[int, Ge(1), Le(200)] = 5
    depth: Annotated[int, Ge(1), Le(1000)] = 50
    weight: Annotated[float, Ge(0), Le(1)] = 0.5

    def indexes(self) -> dict[str, tuple[str, dict[str, Any]]]:
        return {"dense": ("chroma", {}), "lexical": ("bm25", {})}

    def gains(self, lists: Mapping[str, Candidates]) -> dict[str, FloatArray]:
        return {
            "dense": self.weight * lists["dense"].scaled,
            "lexical": (1 - self.weight) * lists["lexical"].scaled,
        }

    def fuse(self, lists: Mapping[str, Candidates]) -> Candidates:
        return combine(lists, self.gains(lists), self.depth)
