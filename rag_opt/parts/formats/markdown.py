"""Markdown, as it is written."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.decoding import decode, read_bytes
from rag_opt.data.formats import TextFormat
from rag_opt.text.markdown_blocks import markdown_blocks


@register("format", "markdown")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class MarkdownFile(TextFormat):
    """Read Markdown as it is written; its blocks are those of CommonMark, with tables and front matter."""

    suffixes: ClassVar[tuple[str, ...]] = (".md", ".markdown", ".mdx", ".qmd", ".rmd")
    libraries: ClassVar[tuple[str, ...]] = ("markdown-it-py",)

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text. Raises Unreadable where it is none."""
        text, notes = decode(read_bytes(path), encoding=encoding)
        return Reading(text, markdown_blocks(text), notes=tuple(notes))
