"""PDFs in the order of their drawing, by pypdf."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.text.plain_blocks import plain_blocks
from rag_opt.text.reading_writer import ReadingWriter


@register("reader", "pypdf")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class PyPdf:
    """Read PDFs in the order in which their text was drawn, by pypdf."""

    suffixes: ClassVar[tuple[str, ...]] = (".pdf",)
    libraries: ClassVar[tuple[str, ...]] = ("pypdf",)
    isolated: ClassVar[bool] = True

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text of each page. Raises Unreadable where the file is broken or locked, or pypdf is missing."""
        try:
            from pypdf import PdfReader
        except ImportError:
            raise Unreadable("pypdf is not installed; the extra `pypdf` of rag_opt has it") from None
        writer, count = ReadingWriter(), 0
        try:
            for count, page in enumerate(PdfReader(path).pages, start=1):
                writer.page(count)
                text = page.extract_text()
                writer.append(Reading(text, plain_blocks(text)))
        except Exception as error:  # of any class: a broken PDF breaks it in many ways
            raise Unreadable(f"is nothing that pypdf reads: {type(error).__name__}: {error}") from None
        return writer.finish(page_count=count)
