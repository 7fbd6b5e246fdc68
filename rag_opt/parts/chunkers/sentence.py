"""Chunks of whole sentences."""

from __future__ import annotations

from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Chunk, Document
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.defaults import TableDefaults, TableSetting
from rag_opt.text.lines import sentences_and_lines
from rag_opt.text.table_headers import map_tokens, to_chunks_with_headers
from rag_opt.text.tokens import Tokenizer


@register("chunker", "sentence")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sentence(TableDefaults):
    """Join whole sentences, rows of tables and lines of code up to `size` tokens. A longer one is cut at tokens."""

    size: Annotated[int, Ge(8), Le(32768), Doc("Largest chunk, in tokens of the embedder.")] = 128
    tables: TableSetting = "header"

    def split(self, document: Document, *, tokenizer: Tokenizer) -> list[Chunk]:
        """Return groups of neighbouring sentences."""
        tokens = map_tokens(document, tokenizer, size=self.size, repeats_headers=self.repeats_headers)
        spans: list[tuple[int, int]] = []
        for start, end in sentences_and_lines(document):
            if spans and tokens.count(spans[-1][0], end) <= self.size:
                spans[-1] = (spans[-1][0], end)
            else:
                spans += tokens.windows(start, end, size=self.size, step=self.size)
        return to_chunks_with_headers(document.text, spans, tokens)
