"""Readings put together block by block: the text, and where in it each block lies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rag_opt.core.documents import Block, BlockKind
from rag_opt.core.readings import Reading, ReadingNote

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u00ad\ud800-\udfff\ufffe\uffff]")
_NUMBER = re.compile(r"^[\W_]*\d[\d\s.,:/%+–-]*\W*\w{0,3}$")
_LONGEST_EXAMPLE = 60


class ReadingWriter:
    """Writes text as Markdown does (headings, lists, tables, code), and keeps the blocks, pages and notes of it."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._pages: list[tuple[int, int]] = []
        self._page = 0
        self._notes: dict[str, ReadingNote] = {}
        self.title = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written yet."""
        return not self._blocks

    def page(self, number: int) -> None:
        """Say which page the following blocks lie on."""
        self._page = number

    def note(self, what: str, *, page: int | None = None, count: int = 1, example: str = "") -> None:
        """Note that something is not in the text; notes of one kind are counted together."""
        known = self._notes.get(what, ReadingNote(what))
        pages = known.pages if page is None or page in known.pages else (*known.pages, page)
        shown = known.example or _shorten(example)
        self._notes[what] = ReadingNote(what, pages, known.count + count, shown)

    def heading(self, title: str, level: int, *, label: str = "", kind: BlockKind = "heading") -> None:
        """Write a heading of a level from 1, `label` before it."""
        level = min(max(level, 1), 6)
        words = " ".join(f"{label} {title}".split())
        self.block(kind, f"{'#' * level} {words}" if words else "", level=level, label=label)

    def item(self, text: str, *, label: str = "-", level: int = 1) -> None:
        """Write an item of a list whose lists are nested `level` deep; lines of it are indented."""
        indent = "  " * (level - 1)
        lines = clean(text).strip().splitlines()
        inner = f"\n{indent}{' ' * (len(label) + 1)}".join(line.strip() for line in lines)
        self.block("list item", f"{indent}{label} {inner}" if inner else "", level=level, label=label)

    def code(self, text: str, *, language: str = "") -> None:
        """Write lines of code as they are, in a fence."""
        content = clean(text).strip("\n").rstrip()
        fence = "```" if "```" not in content else "~~~~"
        self.block("code", f"{fence}{language}\n{content}\n{fence}" if content.strip() else "")

    def table(self, rows: Sequence[Sequence[str]], *, header_rows: int | None = None, caption: str = "") -> None:
        """Write rows of cells. `header_rows`: how many of them name the columns; None: as they look.

        Columns and rows without any text are left out; one column is written as paragraphs.
        """
        cleaned = [[" ".join(clean(cell).split()) for cell in row] for row in rows]
        if header_rows is not None:  # a header without any name is none
            header_rows = sum(any(row) for row in cleaned[:header_rows])
        kept = _trim(cleaned)
        if not kept:
            return
        if caption:
            self.block("caption", " ".join(clean(caption).split()))
        if len(kept[0]) == 1:
            for row in kept:
                self.block("paragraph", row[0])
            return
        above = guess_header_rows(kept) if header_rows is None else min(header_rows, len(kept))
        lines = [row_line(row) for row in kept]
        if above:
            lines.insert(above, row_line(["---"] * len(kept[0])))
        header = len("\n".join(lines[: above + 1])) + 1 if above and len(kept) > above else 0
        self.block("table", "\n".join(lines), header=header)

    def block(self, kind: BlockKind, text: str, *, level: int = 0, label: str = "", header: int = 0) -> None:
        """Write a block of any kind, if there is text in it. `header`: characters of a table's header."""
        content = clean(text).strip("\n").rstrip()
        if not content.strip():
            return
        if self._blocks:
            self._write("\n" if self._goes_on(kind, level, label) else "\n\n")
        start = self._length
        if self._page and (not self._pages or self._pages[-1][1] != self._page):
            self._pages.append((start, self._page))
        self._write(content)
        header_end = start + header if header else 0
        self._blocks.append(Block(kind, start, self._length, level, label, header_end))

    def _goes_on(self, kind: BlockKind, level: int, label: str) -> bool:
        """Return whether a block is the next item of the list that the last one is an item of."""
        last = self._blocks[-1]
        same = level != last.level or (label[:1] in "-•") == (last.label[:1] in "-•")
        return kind == last.kind == "list item" and same

    def append(self, other: Reading) -> None:
        """Write the blocks of another reading; the notes of it are noted here."""
        for block in other.blocks or ():
            header = len(clean(other.text[block.start : block.header_end])) if block.header_end else 0
            text = other.text[block.start : block.end]
            self.block(block.kind, text, level=block.level, label=block.label, header=header)
        self.take_notes(other.notes)

    def take_notes(self, notes: Iterable[ReadingNote]) -> None:
        """Note what was noted elsewhere of this text."""
        for note in notes:
            self.note(note.what, count=note.count or 1, example=note.example)

    def continue_on(self, page: int, joined: str) -> None:
        """Write the rest of the last block, which goes on on another page; the two are joined as `joined` begins."""
        last, rest = self._blocks[-1], clean(joined).rstrip()
        self._write(rest)
        self._pages.append((self._length - len(rest.lstrip()), page))
        self._page = page
        self._blocks[-1] = Block(last.kind, last.start, self._length, last.level, last.label, last.header_end)

    def take_back(self, characters: int) -> None:
        """Take back the last characters of the last block."""
        if characters:
            self._parts[-1] = self._parts[-1][:-characters]
            self._length -= characters

    def _write(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def finish(self, *, page_count: int = 0) -> Reading:
        """Return the reading."""
        title = " ".join(clean(self.title).split())
        notes = tuple(self._notes.values())
        return Reading("".join(self._parts), tuple(self._blocks), tuple(self._pages), title, notes, page_count)


def clean(text: str) -> str:
    """Return the text without characters that nobody sees, its line ends as line feeds."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def row_line(cells: Sequence[str]) -> str:
    """Return a row of a table as Markdown writes it."""
    return " ".join(["|", *(f"{cell} |" if cell else "|" for cell in cells)])


def guess_header_rows(rows: Sequence[Sequence[str]]) -> int:
    """Return 1 where the first of several rows looks like names of columns: all there, different, no numbers."""
    first = rows[0]
    named = all(first) and len(set(first)) == len(first) and not any(_NUMBER.match(cell) for cell in first)
    named = named and not first[0].endswith(":")  # a name with its value beside it
    return int(len(rows) > 1 and named)


def _trim(rows: list[list[str]]) -> list[list[str]]:
    """Return the rows and columns that have text, all rows of one length."""
    width = max(map(len, rows), default=0)
    full = [row + [""] * (width - len(row)) for row in rows if any(row)]
    columns = [column for column in range(width) if any(row[column] for row in full)]
    return [[row[column] for column in columns] for row in full]


def _shorten(text: str) -> str:
    words = " ".join(clean(text).split())
    return words if len(words) <= _LONGEST_EXAMPLE else f"{words[: _LONGEST_EXAMPLE - 1]}…"
