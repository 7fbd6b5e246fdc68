"""Learned weights of words alone."""

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


@register("retriever", "sparse")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class LearnedSparse(RetrievalLimits):
    """Find the best chunks by a sparse model (SPLADE and its kin): by words, as BM25, that a model weighs and adds."""

    name: Annotated[str, Doc("Name of the model's card, its id on the hub, or a folder.")] = (
        "opensearch_sparse_doc_v3_distill"
    )

    def index_queries(self) -> dict[str, IndexQuery]:
        """Return the query of its one list."""
        return {"lexical": IndexQuery("sparse", self.depth, {"name": self.name})}

    def gains(self, lists: Mapping[str, RankedLists]) -> dict[str, FloatArray]:
        """Return the scores of the list."""
        return {"lexical": lists["lexical"].scores.astype(np.float64)}

    def fuse(self, lists: Mapping[str, RankedLists]) -> RankedLists:
        """Return the list as it is."""
        return lists["lexical"]
