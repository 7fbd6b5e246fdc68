"""OpenDocument files (ODT, ODS, ODP): headings, lists, tables, notes, by their XML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rag_opt.core.readings import Reading
from rag_opt.data.archives import Archive, refuse_deep
from rag_opt.text.numerals import numeral
from rag_opt.text.reading_writer import ReadingWriter

if TYPE_CHECKING:
    from lxml.etree import _Element

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_SVG = "{urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0}"
_PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_CHART = "{urn:oasis:names:tc:opendocument:xmlns:chart:1.0}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_MATH = "{http://www.w3.org/1998/Math/MathML}"
_MOST_REPEATED = 200  # cells or rows: a sheet repeats its empty ones to its last column and row
_GROUPS_OF_ROWS = tuple(f"{_TABLE}{name}" for name in ("table-header-rows", "table-rows", "table-row-group"))
_POWER = re.compile(r"^[+−–-]?\d+$")


def read_open_document(path: Path) -> Reading:
    """Return the text of an OpenDocument file. Raises Unreadable where it is broken or locked."""
    with Archive(path, what="OpenDocument file") as archive:
        root = archive.xml("content.xml")
        refuse_deep(root, what="OpenDocument file")
        reader = _Reader(root, archive)
        if "meta.xml" in archive:
            title = archive.xml("meta.xml").find(".//{http://purl.org/dc/elements/1.1/}title")
            reader.writer.title = (title.text or "") if title is not None else ""
        return reader.read()


class _Reader:
    def __init__(self, root: _Element, archive: Archive) -> None:
        self.writer = ReadingWriter()
        self._root, self._archive, self._notes = root, archive, list[tuple[str, str]]()
        self._numbered = dict(_numbered_lists(root))
        self._raised = set(_raised_styles(root))
        self._counts: dict[tuple[str, int], int] = {}
        self._pages = 0
        self._in_cell = False

    def read(self) -> Reading:
        body = self._root.find(f"{_OFFICE}body")
        for element in (child for kind in body if body is not None for child in kind) if body is not None else ():
            self._element(element, "", 0)
        return self.writer.finish(page_count=self._pages)

    def _element(self, element: _Element, list_style: str, level: int) -> None:
        tag = element.tag
        if tag in (f"{_TEXT}h", f"{_TEXT}p"):
            self._paragraph(element)
        elif tag == f"{_TEXT}list":
            self._list(element, element.get(f"{_TEXT}style-name") or list_style, level + 1)
        elif tag == f"{_TABLE}table":
            self._table(element)
        elif tag == f"{_DRAW}page":
            self._pages += 1
            self.writer.page(self._pages)
            self._children(element)
        elif tag == f"{_OFFICE}annotation":
            self.writer.note("comments were left out", example=_all_text(element))
        elif tag == f"{_TEXT}tracked-changes":
            if len(element):
                self.writer.note("deleted text (tracked changes) was left out", count=len(element))
        elif tag == f"{_DRAW}frame" and element.get(f"{_PRESENTATION}class") == "title":
            self.writer.heading(" ".join(self._words(p) for p in element.iter(f"{_TEXT}p")), 1)
        elif tag == f"{_DRAW}object":
            self._object(element)
        elif isinstance(tag, str) and not tag.startswith(_STYLE):
            self.writer.block("paragraph", _description(element))
            self._children(element)

    def _children(self, element: _Element) -> None:
        for child in element:
            self._element(child, "", 0)

    def _paragraph(self, element: _Element, *, label: str = "", level: int = 1) -> None:
        """Write a paragraph, a heading or, with a label, an item of a list, and what hangs on it."""
        words = self._words(element)
        if label:
            self.writer.item(words, label=label, level=level)
        elif element.tag == f"{_TEXT}h" and not self._in_cell:
            self.writer.heading(words, int(element.get(f"{_TEXT}outline-level") or 1))
        else:
            self.writer.block("paragraph", words)
        self._write_notes()
        for drawn in _drawn(element):
            self._children(drawn)

    def _list(self, element: _Element, style: str, level: int) -> None:
        known = self._numbered.get((style, level))
        if known is not None and element.get(f"{_TEXT}continue-numbering") != "true":
            self._counts.pop((style, level), None)
        for item in element:
            label = "-" if item.tag == f"{_TEXT}list-item" else ""
            if known is not None and label:
                number = self._counts.get((style, level), known[2] - 1) + 1
                number = int(item.get(f"{_TEXT}start-value") or number)
                self._counts[style, level] = number
                label = f"{known[0]}{numeral(number, known[1])}{known[3]}"
            for child in item:
                if child.tag in (f"{_TEXT}p", f"{_TEXT}h") and label:
                    self._paragraph(child, label=label, level=level)
                    label = ""
                else:
                    self._element(child, style, level)

    def _table(self, table: _Element) -> None:
        around = table.getparent()
        of_sheets = around is not None and around.tag == f"{_OFFICE}spreadsheet"
        if of_sheets:
            self._pages += 1
            self.writer.page(self._pages)
            self.writer.heading(table.get(f"{_TABLE}name") or "", 1)
        own = [*_rows(table)]
        if not of_sheets and _only_places(own):
            for cell in (cell for row in own for cell in row):
                self._children(cell)
            return
        rows, hanging = list[list[str]](), dict[int, tuple[int, str]]()
        headers = len([*table.iterfind(f"{_TABLE}table-header-rows/{_TABLE}table-row")])
        for row in own:
            cells = self._row(row, hanging)
            if any(cells):
                rows += [cells] * min(int(row.get(f"{_TABLE}number-rows-repeated") or 1), _MOST_REPEATED)
        self.writer.table(rows, header_rows=headers or None)
        self._write_notes()
        for shapes in table.iterfind(f"{_TABLE}shapes"):
            self._children(shapes)

    def _row(self, row: _Element, hanging: dict[int, tuple[int, str]]) -> list[str]:
        cells = list[str]()
        for cell in row:
            repeated = min(int(cell.get(f"{_TABLE}number-columns-repeated") or 1), _MOST_REPEATED)
            if cell.tag == f"{_TABLE}covered-table-cell":
                for _ in range(repeated):
                    left, text = hanging.get(len(cells), (0, cells[-1] if cells else ""))
                    if left:
                        hanging[len(cells)] = (left - 1, text)
                        if left == 1:
                            del hanging[len(cells)]
                    cells.append(text)
            elif cell.tag == f"{_TABLE}table-cell":
                text = self._cell_text(cell)
                down = int(cell.get(f"{_TABLE}number-rows-spanned") or 1)
                across = int(cell.get(f"{_TABLE}number-columns-spanned") or 1)
                for offset in range(across if down > 1 else 0):
                    hanging[len(cells) + offset] = (down - 1, text)
                cells += [text] * repeated
        return cells

    def _cell_text(self, cell: _Element) -> str:
        """Return everything in a cell in one line; footnotes of it come behind the table."""
        if not len(cell):
            return ""
        writer, self.writer = self.writer, ReadingWriter()
        outer, self._in_cell = self._in_cell, True
        self._children(cell)
        reading, self.writer, self._in_cell = self.writer.finish(), writer, outer
        self.writer.take_notes(reading.notes)
        return " ".join(reading.text.split())

    def _object(self, element: _Element) -> None:
        """Write an embedded chart as its table."""
        root = self._embedded(element)
        chart = root.find(f".//{_CHART}chart") if root is not None else None
        if root is not None and root.tag == f"{_MATH}math":
            in_text = next(element.iterancestors(f"{_TEXT}p", f"{_TEXT}h"), None) is not None
            self.writer.block("paragraph", "" if in_text else _formula(root))
        if chart is None:
            if root is None or root.tag != f"{_MATH}math":
                self.writer.note("embedded objects were left out", example=element.get(_LINK) or "")
            return
        titles = [_all_text(one) for one in chart.iter(f"{_CHART}title", f"{_CHART}subtitle")]
        self.writer.block("caption", " – ".join(filter(None, titles)))
        for table in chart.iter(f"{_TABLE}table"):
            self._table(table)

    def _words(self, element: _Element) -> str:
        return " ".join("".join(self._text(element)).replace("\n", "\0").split()).replace("\0", "\n")

    def _text(self, element: _Element) -> Iterator[str]:
        """Yield the text of a paragraph piece by piece; its notes are kept, to be written behind it."""
        yield element.text or ""
        before = element.text or ""
        for child in element:
            tag, piece = child.tag, ""
            if tag == f"{_TEXT}note":
                citation, body = child.find(f"{_TEXT}note-citation"), child.find(f"{_TEXT}note-body")
                label = (citation.text or "") if citation is not None else ""
                self._notes.append((label, _all_text(body) if body is not None else ""))
                piece = f"[{label}]"
            elif tag in _SPACES:
                piece = _SPACES[tag] * int(child.get(f"{_TEXT}c") or 1)
            elif tag == f"{_OFFICE}annotation":
                self.writer.note("comments were left out", example=_all_text(child))
            elif tag == f"{_TEXT}ruby-text":
                piece = f"({_all_text(child)})" if _all_text(child) else ""
            elif isinstance(tag, str) and tag.startswith(_DRAW) and tag != f"{_DRAW}a":
                embedded = [self._embedded(one) for one in child.iter(f"{_DRAW}object")]
                formulas = [_formula(one) for one in embedded if one is not None and one.tag == f"{_MATH}math"]
                described = f"{_description(child)}{''.join(formulas)}"
                piece = f" {described} " if described else ""
            elif isinstance(tag, str):
                piece = "".join(self._text(child))
                if child.get(f"{_TEXT}style-name") in self._raised and _POWER.match(piece) and before[-1:].isalnum():
                    piece = f"^{piece}"
            yield f"{piece}{child.tail or ''}"
            before = f"{piece}{child.tail or ''}" or before

    def _embedded(self, element: _Element) -> _Element | None:
        """Return the content of an embedded object: a chart, a formula, another document."""
        path = f"{(element.get(_LINK) or '').removeprefix('./')}/content.xml"
        return self._archive.xml(path) if path in self._archive else None

    def _write_notes(self) -> None:
        if self._in_cell:
            return
        for label, text in self._notes:
            self.writer.block("footnote", f"[{label}] {text}" if text else "", label=label)
        self._notes = []


_SPACES = {f"{_TEXT}s": " ", f"{_TEXT}tab": " ", f"{_TEXT}line-break": "\n"}


def _rows(table: _Element) -> Iterator[_Element]:
    for child in table:
        if child.tag == f"{_TABLE}table-row":
            yield child
        elif child.tag in _GROUPS_OF_ROWS:
            yield from _rows(child)


def _only_places(rows: list[_Element]) -> bool:
    """Return whether a table only places things on a page: one that holds another, or that has one cell."""
    return sum(map(len, rows)) == 1 or any(next(row.iter(f"{_TABLE}table"), None) is not None for row in rows)


def _drawn(element: _Element) -> Iterator[_Element]:
    """Yield the shapes and frames that hang on a paragraph, not what lies in them."""
    for child in element:
        tag = child.tag
        if isinstance(tag, str) and tag.startswith(_DRAW) and tag != f"{_DRAW}a":
            yield child
        elif tag not in (f"{_TEXT}note", f"{_OFFICE}annotation"):
            yield from _drawn(child)


def _formula(root: _Element) -> str:
    """Return a formula as it was typed, where that is kept, else its signs."""
    return _all_text(next(root.iter(f"{_MATH}annotation"), root))


def _description(element: _Element) -> str:
    described = element.find(f"{_SVG}desc")
    words = _all_text(described) if described is not None else ""
    return f"[{words}]" if words else ""


def _raised_styles(root: _Element) -> Iterator[str]:
    """Yield the names of the styles that raise letters."""
    for style in root.iter(f"{_STYLE}style"):
        properties = style.find(f"{_STYLE}text-properties")
        if properties is not None and (properties.get(f"{_STYLE}text-position") or "").startswith("super"):
            yield str(style.get(f"{_STYLE}name"))


def _all_text(element: _Element) -> str:
    return " ".join(" ".join(map(str, element.itertext())).split())


def _numbered_lists(root: _Element) -> Iterator[tuple[tuple[str, int], tuple[str, str, int, str]]]:
    """Yield by (list style, level) prefix, numeral, first number and suffix of what is numbered."""
    for style in root.iter(f"{_TEXT}list-style"):
        for level in style.iter(f"{_TEXT}list-level-style-number"):
            kind = level.get(f"{_STYLE}num-format")
            if kind:
                prefix, suffix = (level.get(f"{_STYLE}num-{name}") or "" for name in ("prefix", "suffix"))
                key = str(style.get(f"{_STYLE}name")), int(level.get(f"{_TEXT}level") or 1)
                yield key, (prefix, kind, int(level.get(f"{_TEXT}start-value") or 1), suffix)
