"""Chunks of whole sentences."""

from __future__ import annotations

from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Chunk, Document
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.interfaces import ChunkerDefaults
from rag_opt.text.sentences import split_sentences
from rag_opt.text.tokens import Tokenizer, TokenMap
from rag_opt.text.trimming import trim


@register("chunker", "sentence")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sentence(ChunkerDefaults):
    """Join whole sentences up to `size` tokens. A longer sentence is cut at tokens."""

    size: Annotated[int, Ge(8), Le(32768), Doc("Largest chunk, in tokens of the embedder.")] = 128

    def split(self, document: Document, *, tokenizer: Tokenizer) -> list[Chunk]:
        """Return groups of neighbouring sentences."""
        tokens = TokenMap(tokenizer.starts(document.text))
        spans: list[tuple[int, int]] = []
        for start, end in split_sentences(document.text):
            if spans and tokens.count(spans[-1][0], end) <= self.size:
                spans[-1] = (spans[-1][0], end)
            else:
                spans += tokens.windows(start, end, size=self.size, step=self.size)
        trimmed = [trim(document.text, start, end) for start, end in spans]
        return [Chunk(*span) for span in trimmed if span is not None]
