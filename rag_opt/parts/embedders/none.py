"""No embedding model."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.text.tokenizer_names import DEFAULT_TOKENIZER


@register("embedder", "none")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoEmbedder:
    """Embed nothing, for pipelines that search words alone; no model is loaded.

    Chunks are counted by Qwen's byte pairs. A search takes it by itself wherever nothing else of a pipeline reads
    vectors.
    """

    tokenizer: ClassVar[str] = DEFAULT_TOKENIZER
