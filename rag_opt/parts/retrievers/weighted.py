"""A weighted sum of vectors and words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import FloatArray
from rag_opt.core.rank_fusion import sum_gains
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.index_queries import HybridParameters


@register("retriever", "weighted")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Weighted(HybridParameters):
    """Mix the scores of a dense and a lexical list: `weight` dense + (1 - `weight`) lexical.

    A chunk that a list does not hold counts there as the list's worst. Where a question has one list alone, that list
    counts whole.
    """

    weight: Annotated[float, Ge(0), Le(1), Doc("Share of the dense list.")] = 0.5
    scaling: Annotated[
        Literal["min_max", "z_score"],
        Doc("Scale of each list: from its worst to its best, or in standard deviations above its worst."),
    ] = "min_max"

    def gains(self, lists: Mapping[str, RankedLists]) -> dict[str, FloatArray]:
        """Return the weighted, scaled scores of each list."""
        weights = {"dense": self.weight, "lexical": 1 - self.weight}
        alone = {
            name: np.logical_and.reduce([(other.chunks < 0).all(axis=1) for key, other in lists.items() if key != name])
            for name in lists
        }
        return {
            name: np.where(alone[name] & (len(lists) > 1), 1.0, weights[name])[:, None]
            * (one.min_max_scores if self.scaling == "min_max" else one.z_scores)
            for name, one in lists.items()
        }

    def fuse(self, lists: Mapping[str, RankedLists]) -> RankedLists:
        """Return the chunks by the sum of what their lists give."""
        return sum_gains(lists, self.gains(lists), self.depth)
