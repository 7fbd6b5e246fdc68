"""Texts with marks of other kinds, as they are written."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.decoding import decode, read_bytes
from rag_opt.data.formats import TextFormat
from rag_opt.text.marked_text import asciidoc_blocks, latex_blocks, restructured_text_blocks

_BLOCKS = {
    ".rst": restructured_text_blocks,
    ".adoc": asciidoc_blocks,
    ".asciidoc": asciidoc_blocks,
    ".tex": latex_blocks,
}


@register("format", "marked_text")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class MarkedText(TextFormat):
    """Read reStructuredText, AsciiDoc and LaTeX as they are written, with their headings, listings and tables."""

    suffixes: ClassVar[tuple[str, ...]] = (".rst", ".adoc", ".asciidoc", ".tex")

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text. Raises Unreadable where it is none."""
        text, notes = decode(read_bytes(path), encoding=encoding)
        return Reading(text, _BLOCKS[path.suffix.lower()](text), notes=tuple(notes))
