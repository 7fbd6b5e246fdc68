"""The paragraphs of texts without marks."""

from __future__ import annotations

import re

from rag_opt.core.documents import Block

# lines with something in them, one after another; a line ends by \r\n, \n or \r
_LINES = re.compile(r"\S[^\r\n]*(?:(?:\r\n|\n|\r)[^\S\r\n]*\S[^\r\n]*)*")


def plain_blocks(text: str) -> tuple[Block, ...]:
    """Return the paragraphs of a text: what stands between empty lines."""
    return tuple(
        Block("paragraph", found.start(), found.start() + len(found[0].rstrip())) for found in _LINES.finditer(text)
    )
