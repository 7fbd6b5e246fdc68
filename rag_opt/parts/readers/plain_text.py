"""Markdown, reStructuredText and plain text, as they are."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.reading import read_utf8


@register("reader", "plain_text")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class PlainText:
    """Read text as it is: UTF-8, line ends kept, without a byte order mark."""

    suffixes: ClassVar[tuple[str, ...]] = (".md", ".markdown", ".txt", ".rst")

    def read(self, path: Path) -> str:
        """Return the text. Raises Unreadable where it is not UTF-8."""
        return read_utf8(path)
