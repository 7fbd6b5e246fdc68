from __future__ import annotations

from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.registry import register


@register("embedder", "model")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Model:
    """An embedding model by the name of its card (`conf/embedder/<name>.yaml`)."""

    name: str = "minilm"
