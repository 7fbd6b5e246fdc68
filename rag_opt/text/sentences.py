"""Sentences by rule and by offset. Every character that is not white space belongs to one."""

from __future__ import annotations

import re

# Abbreviations after which a full stop does not end a sentence.
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|cf|vs|viz|resp|approx|Mr|Mrs|Ms|Dr|Prof|St|No|Fig|Eq|Sec|Vol|al|Inc|Ltd|Co|Jr|Sr)|\b[A-Z])\.$"
)
_END = re.compile(
    r"""
      [.!?…]+["'”’)\]]*(?=\s+["'“‘(\[]?[A-Z0-9"“(\[*_\-])   # a stop, then something that can open a sentence
    | [。！？]                                               # a stop that needs no space after it
    | [ \t]*\n[ \t]*\n\s*                                    # a blank line
    | \n(?=[ \t]*(?:[-*•+]|\d+[.)])[ \t]+\S)                 # the next line opens a list item
    """,
    re.VERBOSE,
)


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Return the half-open offsets of the sentences of `text`, in order, without the white space around them."""
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _END.finditer(text):
        if text[match.start()] == "." and _ABBREVIATION.search(text, start, match.start() + 1):
            continue
        _append(spans, text, start, match.end())
        start = match.end()
    _append(spans, text, start, len(text))
    return spans


def _append(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    trimmed = trim(text, start, end)
    if trimmed is not None:
        spans.append(trimmed)


def trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return the span without white space at its ends; None when nothing else is in it."""
    content = text[start:end]
    inner = content.strip()
    if not inner:
        return None
    left = start + len(content) - len(content.lstrip())
    return left, left + len(inner)
