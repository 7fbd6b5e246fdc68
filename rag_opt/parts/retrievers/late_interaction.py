"""Late interaction as the first stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import FloatArray
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.index_queries import IndexQuery, RetrievalLimits


@register("retriever", "late_interaction")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class LateInteractionRetriever(RetrievalLimits):
    """Find the best chunks by MaxSim over the vectors of all tokens: of a ColBERT model, or of an embedding model.

    Far more is stored than a vector a chunk, and far more is compared.
    """

    name: Annotated[str, Doc("Name of the model's card, its id on the hub, or a folder.")] = "minilm"
    compressed: Annotated[bool, Doc("Whether tokens are found by product quantization instead of one by one.")] = False

    def index_queries(self) -> dict[str, IndexQuery]:
        """Return the query of its one list."""
        return {
            "tokens": IndexQuery("late_interaction", self.depth, {"name": self.name, "compressed": self.compressed})
        }

    def gains(self, lists: Mapping[str, RankedLists]) -> dict[str, FloatArray]:
        """Return the scores of the list."""
        return {"tokens": lists["tokens"].scores.astype(np.float64)}

    def fuse(self, lists: Mapping[str, RankedLists]) -> RankedLists:
        """Return the list as it is."""
        return lists["tokens"]
