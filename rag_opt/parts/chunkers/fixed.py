"""Chunks of one size."""

from __future__ import annotations

from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge, Le, Lt
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Chunk, Document
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.defaults import OverlapDefaults
from rag_opt.text.tokens import Tokenizer, TokenMap
from rag_opt.text.trimming import trim


@register("chunker", "fixed")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Fixed(OverlapDefaults):
    """Cut windows of `size` tokens, each beginning `overlap` of a window before the last one ends."""

    size: Annotated[int, Ge(8), Le(32768), Doc("Largest chunk, in tokens of the embedder.")] = 160
    overlap: Annotated[float, Ge(0), Lt(1), Doc("Share of a chunk that the next one repeats.")] = 0.0

    def split(self, document: Document, *, tokenizer: Tokenizer) -> list[Chunk]:
        """Return the windows, without white space at their ends."""
        tokens = TokenMap(tokenizer.starts(document.text))
        step = max(1, round(self.size * (1 - self.overlap)))
        windows = tokens.windows(0, len(document.text), size=self.size, step=step)
        trimmed = [trim(document.text, start, end) for start, end in windows]
        return [Chunk(*span) for span in trimmed if span is not None]
