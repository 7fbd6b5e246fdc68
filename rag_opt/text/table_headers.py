"""Pieces of cut tables: what they lack before them, and how many tokens that takes."""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from rag_opt.core.documents import Chunk, Document
from rag_opt.core.structure import Structure
from rag_opt.text.markdown_blocks import blocks_of
from rag_opt.text.tokens import Tokenizer, TokenMap
from rag_opt.text.trimming import trim

_MOST_OF_A_CHUNK = 0.5  # that a header may take
_DELIMITER_ROW = re.compile(r"^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)+\|?[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class HeaderTokenMap(TokenMap):
    """Tokens of a document, in which a piece that begins inside a table is larger by the table's header.

    Whoever cuts by it leaves room for that header. `headers`: (first offset below the header, end of the table, the
    header, its tokens) of every table whose header is repeated.
    """

    headers: tuple[tuple[int, int, str, int], ...] = ()

    def header(self, start: int) -> str:
        """Return what is put before a piece that begins at an offset; empty where nothing is."""
        return self._find(start)[0]

    @functools.cached_property
    def _firsts(self) -> list[int]:
        return [first for first, *_ in self.headers]

    def _find(self, start: int) -> tuple[str, int]:
        row = bisect.bisect_right(self._firsts, start) - 1
        _, end, header, tokens = self.headers[row] if row >= 0 else (0, 0, "", 0)
        return (header, tokens) if start < end else ("", 0)

    def count(self, start: int, end: int) -> int:
        """Return the size of a piece in tokens, that of its header included."""
        return super().count(start, end) + self._find(start)[1]

    def windows(self, start: int, end: int, *, size: int, step: int) -> list[tuple[int, int]]:
        """Return spans of at most `size` tokens, their headers included."""
        room = max(size - self._find(start)[1], 1)
        return super().windows(start, end, size=room, step=max(min(step, room), 1))


def map_tokens(document: Document, tokenizer: Tokenizer, *, size: int, repeats_headers: bool) -> TokenMap:
    """Return the tokens of a document; with `repeats_headers` pieces of its tables are larger by their headers.

    `size`: largest chunk in tokens. A header of more than half of it is not repeated.
    """
    tokens = TokenMap(tokenizer.starts(document.text))
    if not repeats_headers or not _may_have_table(document):
        return tokens
    blocks = blocks_of(document)
    structure, headers = Structure(document.text, blocks, document.pages), []
    for table in (block for block in blocks if block.kind == "table" and block.header_end):
        header = structure.table_header(table.header_end)
        count = int(tokenizer.lengths([f"{header}\n"])[0]) - tokenizer.special_tokens
        if count <= _MOST_OF_A_CHUNK * size:
            headers.append((table.header_end, table.end, header, count))
    return HeaderTokenMap(tokens.starts, tuple(headers)) if headers else tokens


def _may_have_table(document: Document) -> bool:
    """Return whether it is worth looking for tables: finding the blocks of a long text takes time."""
    if document.blocks is not None:
        return any(block.kind == "table" for block in document.blocks)
    return _DELIMITER_ROW.search(document.text) is not None


def to_chunks_with_headers(text: str, pieces: Iterable[tuple[int, int]], tokens: TokenMap) -> list[Chunk]:
    """Return the pieces as chunks, without white space at their ends; a table's header is before what is embedded."""
    chunks = []
    for piece in pieces:
        place = trim(text, *piece)
        if place is not None:
            header = tokens.header(place[0]) if isinstance(tokens, HeaderTokenMap) else ""
            chunks.append(Chunk(*place, f"{header}\n{text[place[0] : place[1]]}" if header else None))
    return chunks
