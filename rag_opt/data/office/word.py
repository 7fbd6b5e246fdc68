"""Word documents: paragraphs with their numbers, tables, text boxes, notes, page heads and feet, by their XML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.data.archives import Archive, refuse_deep
from rag_opt.data.office.drawings import write_drawings
from rag_opt.data.office.numbering import BULLET, Numbering, W
from rag_opt.data.office.runs import Runs
from rag_opt.data.office.styles import Styles
from rag_opt.text.reading_writer import ReadingWriter, guess_header_rows

if TYPE_CHECKING:
    from lxml.etree import _Element

_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_WRAPPERS = {f"{W}{name}" for name in ("sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo")}


def read_word(path: Path) -> Reading:
    """Return the text of a DOCX file. Raises Unreadable where it is broken or locked."""
    with Archive(path, what="DOCX") as archive:
        return _Word(archive).read()


class _Word:
    def __init__(self, archive: Archive) -> None:
        self._archive, self._writer = archive, ReadingWriter()
        self._part = archive.main_part()
        related = {one.kind: one.path for one in archive.related(self._part).values()}
        self._styles = Styles(self._xml(related.get("styles")))
        self._numbering = Numbering(self._xml(related.get("numbering")))
        self._notes = {
            kind: _by_id(self._xml(related.get(f"{kind}s")), f"{W}{kind}") for kind in ("footnote", "endnote")
        }
        comments = self._xml(related.get("comments"))
        if comments is not None and len(comments):
            self._writer.note("comments were left out", count=len(comments))
        self._page, self._counts_pages = 1, False

    def _xml(self, path: str | None) -> _Element | None:
        return self._archive.xml(path) if path is not None and path in self._archive else None

    def read(self) -> Reading:
        root = self._archive.xml(self._part)
        refuse_deep(root, what="DOCX")
        self._writer.title = self._archive.title()
        self._counts_pages = next(root.iter(f"{W}lastRenderedPageBreak"), None) is not None
        if self._counts_pages:
            self._writer.page(1)
        heads, feet = self._around(root, "headerReference"), self._around(root, "footerReference")
        for text in heads:
            self._writer.block("page head", text)
        body = root.find(f"{W}body")
        if body is None:
            raise Unreadable("is no sound DOCX: it has no body")
        for element in body:
            self._element(element)
        for text in feet:
            self._writer.block("page foot", text)
        return self._writer.finish(page_count=self._page if self._counts_pages else 0)

    def _around(self, root: _Element, reference: str) -> list[str]:
        """Return the different page heads, or feet, of all sections; one that only counts pages is none."""
        related, texts = self._archive.related(self._part), dict[str, None]()
        for one in root.iter(f"{W}{reference}"):
            target = related.get(str(one.get(f"{_R}id")))
            part = self._xml(target.path) if target is not None else None
            if part is not None:
                text = "\n".join(line for line in self._texts(part) if re.search(r"\w{2}", line))
                texts |= {text: None} if text else {}
        return list(texts)

    def _element(self, element: _Element) -> None:
        if element.tag == f"{W}p":
            self._paragraph(element)
        elif element.tag == f"{W}tbl":
            self._table(element)
        elif element.tag in _WRAPPERS:
            for child in element:
                self._element(child)
        elif element.tag == f"{_MC}AlternateContent":
            for child in _alternative(element):
                self._element(child)
        elif element.tag == f"{W}altChunk":
            self._writer.note("embedded documents were left out")

    def _paragraph(self, paragraph: _Element) -> None:
        runs = Runs(paragraph)
        self._turn_pages(runs.pages_before)
        style = self._styles.of(paragraph)
        label = self._numbering.label(style.number, style.number_level) if style.number else ""
        if style.heading and runs.text.strip():
            self._writer.heading(runs.text, style.heading, label="" if label == BULLET else label)
        elif label:
            self._writer.item(runs.text, label=label, level=style.number_level + 1)
        else:
            self._writer.block(style.kind, runs.text)
        self._note(runs)
        self._turn_pages(runs.pages_inside)
        for box in runs.boxes:
            for element in box:
                self._element(element)
        write_drawings(self._writer, self._archive, self._part, paragraph)
        self._write_notes(runs)

    def _note(self, runs: Runs) -> None:
        for what, count in runs.left_out.items():
            self._writer.note(what, count=count)

    def _write_notes(self, runs: Runs) -> None:
        """Write the footnotes and endnotes that a paragraph refers to."""
        for kind, name in runs.notes:
            note = self._notes[kind].get(name)
            lines = [Runs(one).text for one in note.iter(f"{W}p")] if note is not None else []
            text = "\n".join(filter(None, lines)).strip()
            self._writer.block("footnote", f"[{name}] {text}" if text else "", label=name)

    def _turn_pages(self, count: int) -> None:
        if self._counts_pages and count:
            self._page += count
            self._writer.page(self._page)

    def _table(self, table: _Element) -> None:
        """Write a table; one that holds another, or one cell, only places things on the page."""
        rows = [*_children(table, "tr")]
        cells = [[*_children(row, "tc")] for row in rows]
        if sum(map(len, cells)) == 1 or any(
            next(cell.iter(f"{W}tbl"), None) is not None for row in cells for cell in row
        ):
            for cell in (cell for row in cells for cell in row):
                for element in cell:
                    self._element(element)
            return
        grid, headers = list[list[str]](), 0
        for row, own in zip(rows, cells, strict=True):
            grid.append(self._row(row, own, grid[-1] if grid else []))
            if headers == len(grid) - 1 and row.find(f"{W}trPr/{W}tblHeader") is not None:
                headers += 1
        look = table.find(f"{W}tblPr/{W}tblLook")
        first_row = look is not None and (look.get(f"{W}firstRow") == "1" or _flag(look, 0x0020))
        above = headers or (guess_header_rows(grid) if first_row or look is None else 0)
        self._writer.table(grid, header_rows=above)
        # a page breaks in every cell of a row that reaches over it
        breaks = [[sum(1 for _ in cell.iter(f"{W}lastRenderedPageBreak")) for cell in own] for own in cells]
        self._turn_pages(sum(max(counts, default=0) for counts in breaks))
        for paragraph in _paragraphs(table):
            write_drawings(self._writer, self._archive, self._part, paragraph)
            self._write_notes(Runs(paragraph))

    def _row(self, row: _Element, cells: list[_Element], above: list[str]) -> list[str]:
        """Return the texts of a row; a cell that spans several columns or rows stands in each."""
        before = row.find(f"{W}trPr/{W}gridBefore")
        texts = [""] * (_whole(before) if before is not None else 0)
        for cell in cells:
            merged, span = cell.find(f"{W}tcPr/{W}vMerge"), cell.find(f"{W}tcPr/{W}gridSpan")
            if merged is not None and merged.get(f"{W}val") != "restart":
                text = above[len(texts)] if len(texts) < len(above) else ""
            else:
                text = " ".join(filter(None, self._texts(cell)))
            texts += [text] * (max(_whole(span), 1) if span is not None else 1)
        return texts

    def _texts(self, element: _Element) -> Iterator[str]:
        """Yield the texts of the paragraphs in a cell, a page head or a text box, and in the boxes on them."""
        for paragraph in _paragraphs(element):
            style, runs = self._styles.of(paragraph), Runs(paragraph)
            label = self._numbering.label(style.number, style.number_level) if style.number and runs.text else ""
            self._note(runs)
            yield f"{label} {runs.text}" if label and label != BULLET else runs.text
            for box in runs.boxes:
                yield from self._texts(box)


def _by_id(root: _Element | None, tag: str) -> dict[str, _Element]:
    """Return notes by their id; those that only draw a line are none."""
    found = root.iter(tag) if root is not None else ()
    return {str(note.get(f"{W}id")): note for note in found if note.get(f"{W}type") in (None, "normal")}


def _children(element: _Element, name: str) -> Iterator[_Element]:
    """Yield the rows of a table or the cells of a row, also those in content controls and tracked insertions."""
    for child in element:
        if child.tag == f"{W}{name}":
            yield child
        elif child.tag in _WRAPPERS:
            yield from _children(child, name)


def _paragraphs(element: _Element) -> Iterator[_Element]:
    """Yield the paragraphs of an element, not those of text boxes that hang on them."""
    for child in element:
        if child.tag == f"{W}p":
            yield child
        elif child.tag == f"{_MC}AlternateContent":
            for one in _alternative(child):
                yield from _paragraphs(one)
        elif child.tag not in (f"{W}del", f"{W}moveFrom"):
            yield from _paragraphs(child)


def _alternative(element: _Element) -> _Element | list[_Element]:
    choice = element.find(f"{_MC}Choice")
    chosen = choice if choice is not None else element.find(f"{_MC}Fallback")
    return chosen if chosen is not None else []


def _flag(look: _Element, bit: int) -> bool:
    value = look.get(f"{W}val") or "0"
    return bool(re.fullmatch(r"[0-9A-Fa-f]+", value)) and bool(int(value, 16) & bit)


def _whole(element: _Element) -> int:
    written = str(element.get(f"{W}val"))
    return min(int(written), 1000) if written.isdigit() else 1
