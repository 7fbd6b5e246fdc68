from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.rankings import combine
from rag_opt.records import Candidates, FloatArray
from rag_opt.registry import register


@register("retriever", "rrf")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReciprocalRankFusion:
    """Dense and lexical lists, each giving 1 / (k + rank) to its chunks (Cormack et al., 2009)."""

    top_k: Annotated[int, Ge(1), Le(200)] = 5
    depth: Annotated[int, Ge(1), Le(1000)] = 50
    k: Annotated[int, Ge(0), Le(1000)] = 60

    def indexes(self) -> dict[str, tuple[str, dict[str, Any]]]:
        return {"dense": ("chroma", {}), "lexical": ("bm25", {})}

    def gains(self, lists: Mapping[str, Candidates]) -> dict[str, FloatArray]:
        return {name: _by_rank(self.k, one) for name, one in lists.items()}

    def fuse(self, lists: Mapping[str, Candidates]) -> Candidates:
        return combine(lists, self.gains(lists), self.depth)


def _by_rank(k: int, one: Candidates) -> FloatArray:
    return np.broadcast_to(1.0 / (k + np.arange(1, one.chunks.shape[1] + 1)), one.chunks.shape)
