"""The smallest pieces of a document that make sense by themselves: sentences, rows of tables, lines of code."""

from __future__ import annotations

import re

from rag_opt.core.documents import Document
from rag_opt.text.cutting import split_after
from rag_opt.text.sentences import split_sentences

_LINE = re.compile(r"\n")


def sentences_and_lines(document: Document) -> list[tuple[int, int]]:
    """Return the sentences of a text, and the lines of its tables and listings, in their order."""
    text, blocks = document.text, document.blocks or ()
    by_lines = [block for block in blocks if block.kind in ("table", "code")]
    if not by_lines:
        return split_sentences(text)
    pieces, before = list[tuple[int, int]](), 0
    for block in by_lines:
        pieces += _sentences_between(text, before, block.start)
        pieces += split_after(_LINE, text, (block.start, block.end))
        before = block.end
    return pieces + _sentences_between(text, before, len(text))


def _sentences_between(text: str, start: int, end: int) -> list[tuple[int, int]]:
    return [(start + first, start + last) for first, last in split_sentences(text[start:end])]
