"""The structure of a document, looked up by offset: pages, headings, tables."""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Sequence

from rag_opt.core.documents import Block, Document

_MARKS = re.compile(r"^#{1,6}(?:\s+|$)|\s+#+$|^=+\s+")
_UNDERLINE = re.compile(r"^([^\w\s])\1*$")


class Structure:
    """Pages, headings and tables of one text. `blocks` do not overlap and stand in their order."""

    def __init__(self, text: str, blocks: Sequence[Block], pages: Sequence[tuple[int, int]]) -> None:
        self._text, self._blocks, self._pages = text, blocks, pages

    @staticmethod
    def of(document: Document) -> Structure:
        """Return the structure that its reader gave a document."""
        return Structure(document.text, document.blocks or (), document.pages)

    @functools.cached_property
    def _page_starts(self) -> list[int]:
        return [offset for offset, _ in self._pages]

    @functools.cached_property
    def _headings(self) -> list[Block]:
        return [block for block in self._blocks if block.kind in ("heading", "title")]

    @functools.cached_property
    def _heading_starts(self) -> list[int]:
        return [block.start for block in self._headings]

    @functools.cached_property
    def _paths(self) -> list[tuple[str, ...]]:
        """By heading the titles from the highest above it down to itself."""
        paths, open_ = list[tuple[str, ...]](), dict[int, str]()
        for block in self._headings:
            open_ = {level: title for level, title in open_.items() if level < block.level}
            open_[block.level] = heading_title(self._text[block.start : block.end])
            paths.append(tuple(open_[level] for level in sorted(open_)))
        return paths

    @functools.cached_property
    def _tables(self) -> list[Block]:
        return [block for block in self._blocks if block.kind == "table"]

    @functools.cached_property
    def _table_starts(self) -> list[int]:
        return [block.start for block in self._tables]

    def page(self, offset: int) -> int | None:
        """Return the page that an offset lies on, counted from 1; None where the document has no pages."""
        row = bisect.bisect_right(self._page_starts, offset) - 1
        return self._pages[row][1] if row >= 0 else None

    def page_spans(self, page: int) -> list[tuple[int, int]]:
        """Return where the text of a page lies: several pieces where a footnote stands behind another page's text."""
        ends = [*self._page_starts[1:], len(self._text)]
        return [(start, end) for (start, number), end in zip(self._pages, ends, strict=False) if number == page]

    def headings(self, offset: int) -> tuple[str, ...]:
        """Return the titles above an offset, from the highest to the lowest; a heading's own text is under itself."""
        row = bisect.bisect_right(self._heading_starts, offset) - 1
        return self._paths[row] if row >= 0 else ()

    def table(self, offset: int) -> Block | None:
        """Return the table that an offset lies in, or None."""
        row = bisect.bisect_right(self._table_starts, offset) - 1
        return self._tables[row] if row >= 0 and offset < self._tables[row].end else None

    @functools.cached_property
    def _captions(self) -> dict[int, Block]:
        """By the start of a table the caption that stands right before it."""
        pairs = zip(self._blocks, self._blocks[1:], strict=False)
        return {table.start: above for above, table in pairs if table.kind == "table" and above.kind == "caption"}

    def table_header(self, offset: int) -> str:
        """Return what a piece of a table that begins at an offset lacks: its caption and header; empty elsewhere."""
        table = self.table(offset)
        if table is None or not table.header_end or offset < table.header_end:
            return ""
        caption, header = self._captions.get(table.start), self._text[table.start : table.header_end].strip()
        return header if caption is None else f"{self._text[caption.start : caption.end].strip()}\n{header}"


def heading_title(text: str) -> str:
    """Return the words of a heading without the marks of Markdown and its relatives."""
    lines = [line for line in text.splitlines() if not _UNDERLINE.match(line.strip())]
    return " ".join(_MARKS.sub("", " ".join(lines).strip()).split())
