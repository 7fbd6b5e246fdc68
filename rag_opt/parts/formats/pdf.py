"""PDF files, by pypdfium2 (Chrome's PDFium) and our own order."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.formats import PackedFormat
from rag_opt.data.pdf.reading import read_pdf


@register("format", "pdf")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Pdf(PackedFormat):
    """Read the pages of a PDF in the order of their columns, without what runs along their heads and feet."""

    suffixes: ClassVar[tuple[str, ...]] = (".pdf",)
    libraries: ClassVar[tuple[str, ...]] = ("pypdfium2",)

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text of every page that has a text layer. Raises Unreadable where the file is broken or locked."""
        return read_pdf(path)
