"""Spans without the white space around them."""

from __future__ import annotations


def trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return the span without white space at its ends; None when nothing else is in it."""
    content = text[start:end]
    inner = content.strip()
    if not inner:
        return None
    left = start + len(content) - len(content.lstrip())
    return left, left + len(inner)
