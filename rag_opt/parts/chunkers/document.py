"""Whole documents, or their beginnings."""

from __future__ import annotations

from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Chunk, Document
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.defaults import ChunkerDefaults
from rag_opt.text.cutting import to_chunks
from rag_opt.text.tokens import Tokenizer, TokenMap


@register("chunker", "document")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class WholeDocument(ChunkerDefaults):
    """Take the first `size` tokens of each document as its one chunk, as benchmarks of document retrieval do.

    What stands behind them is not found.
    """

    size: Annotated[int, Ge(8), Le(1_000_000), Doc("Tokens of a document that are kept.")] = 254

    def split(self, document: Document, *, tokenizer: Tokenizer) -> list[Chunk]:
        """Return the beginning of the document."""
        tokens = TokenMap(tokenizer.starts(document.text))
        first = tokens.windows(0, len(document.text), size=self.size, step=self.size)[:1]
        return to_chunks(document.text, first)
