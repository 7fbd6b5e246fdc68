from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.fetching import Cuts, Fetch, WordSettings
from rag_opt.records import Candidates, FloatArray
from rag_opt.registry import register


@register("retriever", "lexical")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Lexical(Cuts, WordSettings):
    """Best chunks by BM25; a chunk that shares no word with the question is not one of them."""

    def fetches(self) -> dict[str, Fetch]:
        return {"lexical": self.word_fetch(self.depth)}

    def gains(self, lists: Mapping[str, Candidates]) -> dict[str, FloatArray]:
        return {"lexical": lists["lexical"].scores.astype(np.float64)}

    def fuse(self, lists: Mapping[str, Candidates]) -> Candidates:
        return lists["lexical"]
