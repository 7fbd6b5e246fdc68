"""Groups of whole paragraphs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Block, Chunk, Document
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.defaults import TableDefaults, TableSetting
from rag_opt.text.cutting import Piece, cut
from rag_opt.text.markdown_blocks import blocks_of
from rag_opt.text.table_headers import map_tokens, to_chunks_with_headers
from rag_opt.text.tokens import Tokenizer, TokenMap

_ENOUGH = 0.5  # of `size`: a group of so many tokens ends before a heading


@register("chunker", "paragraphs")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Paragraphs(TableDefaults):
    """Join whole paragraphs, items, tables and listings up to `size` tokens; headings stay with what follows.

    The best of 36 ways to cut in a comparison of 2026 (arXiv 2603.06976). A group that is at least half full ends
    before a heading. A longer paragraph is cut as `recursive` does.
    """

    size: Annotated[int, Ge(8), Le(32768), Doc("Largest chunk, in tokens of the embedder.")] = 224
    tables: TableSetting = "header"

    def split(self, document: Document, *, tokenizer: Tokenizer) -> list[Chunk]:
        """Return the groups in their order."""
        text = document.text
        tokens = map_tokens(document, tokenizer, size=self.size, repeats_headers=self.repeats_headers)
        pieces = list[Piece]()
        for piece in _units(text, blocks_of(document)):
            pieces += [piece] if tokens.count(*piece) <= self.size else cut(text, piece, tokens, size=self.size)
        headings = {block.start for block in blocks_of(document) if block.kind in ("heading", "title")}
        return to_chunks_with_headers(text, self._join(pieces, tokens, headings), tokens)

    def _join(self, pieces: Sequence[Piece], tokens: TokenMap, headings: set[int]) -> list[Piece]:
        joined: list[Piece] = []
        for start, end in pieces:
            begun = joined[-1][0] if joined else start
            fits = bool(joined) and tokens.count(begun, end) <= self.size
            if fits and not (start in headings and tokens.count(*joined[-1]) >= _ENOUGH * self.size):
                joined[-1] = (begun, end)
            else:
                joined.append((start, end))
        return joined


def _units(text: str, blocks: Sequence[Block]) -> list[Piece]:
    """Return the pieces that are not cut where they fit: a block each, headings with the block below them.

    Together they make up the whole text.
    """
    starts, after_heading = list[int](), False
    for block in blocks:
        if not after_heading:
            starts.append(block.start)
        after_heading = block.kind in ("heading", "title")
    edges = [0, *(start for start in starts[1:] if start > 0), len(text)] if starts else [0, len(text)]
    return [(start, end) for start, end in itertools.pairwise(edges) if end > start]
