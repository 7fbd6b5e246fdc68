from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.records import Candidates, FloatArray
from rag_opt.registry import register


@register("retriever", "lexical")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Lexical:
    """Best chunks by BM25; `stop_words` are left out of documents and questions."""

    top_k: Annotated[int, Ge(1), Le(200)] = 5
    depth: Annotated[int, Ge(1), Le(1000)] = 50
    k1: Annotated[float, Ge(0), Le(5)] = 1.2
    b: Annotated[float, Ge(0), Le(1)] = 0.75
    stop_words: Literal["english", "none"] = "english"

    def indexes(self) -> dict[str, tuple[str, dict[str, Any]]]:
        return {"lexical": ("bm25", {"k1": self.k1, "b": self.b, "stop_words": self.stop_words})}

    def gains(self, lists: Mapping[str, Candidates]) -> dict[str, FloatArray]:
        return {"lexical": lists["lexical"].scores.astype(np.float64)}

    def fuse(self, lists: Mapping[str, Candidates]) -> Candidates:
        return lists["lexical"]
