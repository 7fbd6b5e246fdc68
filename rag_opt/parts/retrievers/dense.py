from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.records import Candidates, FloatArray
from rag_opt.registry import register


@register("retriever", "dense")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Dense:
    """Nearest chunks by cosine of the embedder's vectors. `depth`: how long a list is fetched before the cut."""

    top_k: Annotated[int, Ge(1), Le(200)] = 5
    depth: Annotated[int, Ge(1), Le(1000)] = 50

    def indexes(self) -> dict[str, tuple[str, dict[str, Any]]]:
        return {"dense": ("chroma", {})}

    def gains(self, lists: Mapping[str, Candidates]) -> dict[str, FloatArray]:
        return {"dense": lists["dense"].scores.astype(np.float64)}

    def fuse(self, lists: Mapping[str, Candidates]) -> Candidates:
        return lists["dense"]
