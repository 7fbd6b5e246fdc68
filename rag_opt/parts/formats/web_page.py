"""HTML pages as text."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.decoding import decode, read_bytes
from rag_opt.data.formats import PackedFormat
from rag_opt.data.html.reading import write_html
from rag_opt.text.reading_writer import ReadingWriter


@register("format", "html")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class WebPage(PackedFormat):
    """Read what can be seen of the main part of an HTML page."""

    suffixes: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml")

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the visible text. Raises Unreadable where the file is no text."""
        html, notes = decode(read_bytes(path), encoding=encoding, declares=True)
        writer = ReadingWriter()
        write_html(writer, html)
        writer.take_notes(notes)
        return writer.finish()
