from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.fetching import Cuts, Fetch
from rag_opt.records import Candidates, FloatArray
from rag_opt.registry import register


@register("retriever", "dense")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Dense(Cuts):
    """Nearest chunks by cosine of the embedder's vectors, approximately (Chroma). `ef_search`: how many neighbours a
    search looks at; never fewer than `depth`.
    """

    ef_search: Annotated[int, Ge(10), Le(2000)] = 100

    def fetches(self) -> dict[str, Fetch]:
        return {"dense": Fetch("chroma", self.depth, {}, {"ef_search": self.ef_search})}

    def gains(self, lists: Mapping[str, Candidates]) -> dict[str, FloatArray]:
        return {"dense": lists["dense"].scores.astype(np.float64)}

    def fuse(self, lists: Mapping[str, Candidates]) -> Candidates:
        return lists["dense"]
