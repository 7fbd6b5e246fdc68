"""Chunks cut at the coarsest separator that makes them small enough."""

from __future__ import annotations

from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge, Le, Lt
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Chunk, Document
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.defaults import OverlapDefaults, TableDefaults, TableSetting
from rag_opt.text.cutting import cut
from rag_opt.text.table_headers import map_tokens, to_chunks_with_headers
from rag_opt.text.tokens import Tokenizer


@register("chunker", "recursive")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recursive(TableDefaults, OverlapDefaults):
    """Cut at the coarsest separator that gives pieces of at most `size` tokens, then join neighbours up to `size`.

    The scheme of LangChain's RecursiveCharacterTextSplitter, on offsets. A chunk begins with the last
    whole pieces of the one before it, as many as fit into `overlap` of `size`.
    """

    size: Annotated[int, Ge(8), Le(32768), Doc("Largest chunk, in tokens of the embedder.")] = 224
    overlap: Annotated[float, Ge(0), Lt(1), Doc("Share of a chunk that the next one repeats.")] = 0.0
    tables: TableSetting = "header"

    def split(self, document: Document, *, tokenizer: Tokenizer) -> list[Chunk]:
        """Return the chunks, without white space at their ends."""
        text = document.text
        tokens = map_tokens(document, tokenizer, size=self.size, repeats_headers=self.repeats_headers)
        pieces = cut(text, (0, len(text)), tokens, size=self.size, overlap=self.overlap)
        return to_chunks_with_headers(text, pieces, tokens)
