"""PDF as text, by pypdfium2 (Chrome's PDFium). A scanned page has none."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT

if TYPE_CHECKING:
    import pypdfium2

_ONE_AT_A_TIME = threading.Lock()  # PDFium is not made for more
_JOINED_WORD = re.compile(r"\x02(?=[^\W\d_A-Z])")  # where PDFium joined a word that a hyphen had divided
_PASSWORD = 4
_MIN_REPEATS, _SHARE_OF_PAGES = 3, 1 / 3


@register("reader", "pdf")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Pdf:
    """Read the pages of a PDF one after another, without the lines that run along their heads and feet."""

    suffixes: ClassVar[tuple[str, ...]] = (".pdf",)

    def read(self, path: Path) -> str:
        """Return the text. Raises Unreadable where the file is broken or locked, or pypdfium2 is not installed."""
        pages = [page.splitlines() for page in _read_pages(path)]
        for edge in (0, -1):
            running = _running_lines(pages, edge)
            for page in pages:
                while page and _mask_numbers(page[edge]) in running:
                    del page[edge]
        return "\n\n".join("\n".join(page) for page in pages if page)


def _read_pages(path: Path) -> list[str]:
    try:
        import pypdfium2
    except ImportError:
        raise Unreadable("pypdfium2 is not installed; pip install pypdfium2") from None
    with _ONE_AT_A_TIME:
        try:
            return list(_pages(pypdfium2.PdfDocument(path)))
        except pypdfium2.PdfiumError as error:
            locked = getattr(error, "err_code", None) == _PASSWORD  # not every PdfiumError has a code
            raise Unreadable("is locked by a password" if locked else f"is no sound PDF: {error}") from None


def _pages(document: pypdfium2.PdfDocument) -> Iterator[str]:
    try:
        for page in document:
            text_page = page.get_textpage()
            text = text_page.get_text_bounded().replace("\r\n", "\n")
            text_page.close()
            page.close()
            yield _JOINED_WORD.sub("", text).replace("\x02", "-")
    finally:
        document.close()


def _running_lines(pages: list[list[str]], edge: int) -> set[str]:
    """Return first or last lines, numbers masked, that stand on many pages."""
    counts = Counter(_mask_numbers(page[edge]) for page in pages if page)
    least = max(_MIN_REPEATS, len(pages) * _SHARE_OF_PAGES)
    return {line for line, count in counts.items() if count >= least}


def _mask_numbers(line: str) -> str:
    return re.sub(r"\d+", "#", " ".join(line.split()))
