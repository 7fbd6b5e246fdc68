"""PDF as text, by pypdfium2 (Chrome's PDFium). A scanned page has none."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rag_opt.data.formats.failing import Unreadable

_ONE_AT_A_TIME = threading.Lock()  # PDFium is not made for more
_JOINED_WORD = re.compile(r"\x02(?=[^\W\d_A-Z])")  # where PDFium joined a word that a hyphen had divided
_PASSWORD = 4
_FEWEST_REPEATS, _SHARE_OF_PAGES = 3, 1 / 3


def pdf_text(path: Path) -> str:
    """Pages one after another, without the lines that run along their heads and feet. Raises Unreadable."""
    pages = [page.splitlines() for page in _read(path)]
    for edge in (0, -1):
        running = _running(pages, edge)
        for page in pages:
            while page and _masked(page[edge]) in running:
                del page[edge]
    return "\n\n".join("\n".join(page) for page in pages if page)


def _read(path: Path) -> list[str]:
    try:
        import pypdfium2
    except ImportError:
        raise Unreadable("needs pypdfium2; pip install 'rag-opt[documents]'") from None
    with _ONE_AT_A_TIME:
        try:
            return list(_pages(pypdfium2.PdfDocument(path)))
        except pypdfium2.PdfiumError as error:
            locked = getattr(error, "err_code", None) == _PASSWORD
            raise Unreadable("is locked by a password" if locked else f"is no sound PDF: {error}") from None


def _pages(document: Any) -> Iterator[str]:
    try:
        for page in document:
            text = page.get_textpage()
            found = text.get_text_bounded().replace("\r\n", "\n")
            text.close()
            page.close()
            yield _JOINED_WORD.sub("", found).replace("\x02", "-")
    finally:
        document.close()


def _running(pages: list[list[str]], edge: int) -> set[str]:
    """First or last lines, numbers masked, that stand on many pages."""
    counts = Counter(_masked(page[edge]) for page in pages if page)
    least = max(_FEWEST_REPEATS, len(pages) * _SHARE_OF_PAGES)
    return {line for line, count in counts.items() if count >= least}


def _masked(line: str) -> str:
    return re.sub(r"\d+", "#", " ".join(line.split()))
