"""PDFs line by line, by pdfplumber."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.text.plain_blocks import plain_blocks
from rag_opt.text.reading_writer import ReadingWriter


@register("reader", "pdfplumber")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class PdfPlumber:
    """Read PDFs line by line across the page, and the tables in their lines, by pdfplumber."""

    suffixes: ClassVar[tuple[str, ...]] = (".pdf",)
    libraries: ClassVar[tuple[str, ...]] = ("pdfplumber", "pdfminer.six")
    isolated: ClassVar[bool] = True

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text of each page, then its tables. Raises Unreadable where it fails, or is not installed."""
        try:
            import pdfplumber
        except ImportError:
            raise Unreadable("pdfplumber is not installed; the extra `pdfplumber` of rag_opt has it") from None
        writer, count = ReadingWriter(), 0
        try:
            with pdfplumber.open(path) as document:
                for count, page in enumerate(document.pages, start=1):
                    writer.page(count)
                    tables = page.find_tables()
                    outside = page.filter(lambda thing, boxes=tables: not _inside(thing, [one.bbox for one in boxes]))
                    text = outside.extract_text() or ""
                    writer.append(Reading(text, plain_blocks(text)))
                    for table in tables:
                        writer.table([[cell or "" for cell in row] for row in table.extract()])
        except Exception as error:  # of any class that pdfminer raises
            raise Unreadable(f"is nothing that pdfplumber reads: {type(error).__name__}: {error}") from None
        return writer.finish(page_count=count)


def _inside(thing: Mapping[str, float], boxes: Sequence[tuple[float, float, float, float]]) -> bool:
    """Return whether the middle of something on a page lies in one of some boxes."""
    x, y = (thing["x0"] + thing["x1"]) / 2, (thing["top"] + thing["bottom"]) / 2
    return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in boxes)
