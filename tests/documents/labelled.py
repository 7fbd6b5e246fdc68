"""Thirty small files of known content, and how much of one a reading has."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from rapidfuzz.distance import LCSseq

from tests.documents.content import Cell, Labelled
from tests.documents.office import OTHERS, WORD
from tests.documents.pdfs import PDFS
from tests.documents.texts import TEXTS

_ENDINGS = {
    "slides": ".pptx", "slide_table": ".pptx", "slide_chart": ".pptx", "workbook": ".xlsx", "site_page": ".html",
    "code_page": ".html", "page_with_spans": ".html", "book": ".epub", "mail": ".eml", "notebook": ".ipynb",
    "separated_values": ".csv", "rich_text": ".rtf", "markdown_table": ".md",
}  # fmt: skip
_WORD = re.compile(r"[^\W_]+(?:[.,]\d+)*")


class Kept(NamedTuple):
    """Shares, in [0, 1], of what a document holds: words, words in the order of reading, cells below their names."""

    words: float
    order: float
    cells: float | None


def write_all(folder: Path) -> list[Labelled]:
    """Write the files into a folder, and return what is in them."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [write(folder / f"{write.__name__}.pdf") for write in PDFS]
    found += [write(folder / f"{write.__name__}.docx") for write in WORD]
    return found + [write(folder / f"{write.__name__}{_ENDINGS[write.__name__]}") for write in (*OTHERS, *TEXTS)]


def measure(labelled: Labelled, text: str) -> Kept:
    """Return how much of a document a reading has."""
    wanted, read = _words(labelled.words), _words(text)
    missing = Counter(wanted) - Counter(read)
    order = LCSseq.similarity(wanted, read) / len(wanted)
    tables = list(_tables(text))
    cells = [any(_has(rows, cell) for rows in tables) for cell in labelled.cells]
    return Kept(1 - missing.total() / len(wanted), order, sum(cells) / len(cells) if cells else None)


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _tables(text: str) -> list[list[list[str]]]:
    """Return the tables of a text: rows whose cells stand between bars."""
    tables, rows = list[list[list[str]]](), list[list[str]]()
    for line in [*text.split("\n"), ""]:
        if "|" in line:
            cells = [" ".join(cell.split()) for cell in line.strip().strip("|").split("|")]
            if not all(re.fullmatch(r":?-*:?", cell) for cell in cells):
                rows.append(cells)
        elif rows:
            tables.append(rows)
            rows = []
    return tables


def _has(rows: list[list[str]], cell: Cell) -> bool:
    header = rows[0]
    columns = [number for number, name in enumerate(header) if name == cell.column]
    return any(
        row[0] == cell.row and any(column < len(row) and row[column] == cell.value for column in columns)
        for row in rows[1:]
    )
