"""OpenDocument files (ODT, ODS, ODP): headings, lists, tables, notes, by their XML."""

from __future__ import annotations

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
_MOST_REPEATED = 200  # cells: a sheet repeats its empty ones to its last column


def read_open_document(path: Path) -> Reading:
    """Return the text of an OpenDocument file. Raises Unreadable where it is broken or locked."""
    with Archive(path, what="OpenDocument file") as archive:
        root = archive.xml("content.xml")
        refuse_deep(root, what="OpenDocument file")
        reader = _Reader(root)
        if "meta.xml" in archive:
            title = archive.xml("meta.xml").find(".//{http://purl.org/dc/elements/1.1/}title")
            reader.writer.title = (title.text or "") if title is not None else ""
        return reader.read()


class _Reader:
    def __init__(self, root: _Element) -> None:
        self.writer = ReadingWriter()
        self._root, self._notes = root, list[tuple[str, str]]()
        self._numbered = dict(_numbered_lists(root))
        self._counts: dict[tuple[str, int], int] = {}
        self._pages = 0

    def read(self) -> Reading:
        body = self._root.find(f"{_OFFICE}body")
        for element in (child for kind in body if body is not None for child in kind) if body is not None else ():
            self._element(element, "", 0)
        return self.writer.finish(page_count=self._pages)

    def _element(self, element: _Element, list_style: str, level: int) -> None:
        tag = element.tag
        if tag == f"{_TEXT}h":
            self.writer.heading(self._words(element), int(element.get(f"{_TEXT}outline-level") or 1))
            self._write_notes()
        elif tag == f"{_TEXT}p":
            self.writer.block("paragraph", self._words(element))
            self._write_notes()
            self._frames(element)
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
        elif isinstance(tag, str) and not tag.startswith(_STYLE):
            self._children(element)

    def _children(self, element: _Element) -> None:
        for child in element:
            self._element(child, "", 0)

    def _list(self, element: _Element, style: str, level: int) -> None:
        known = self._numbered.get((style, level))
        if known is not None and element.get(f"{_TEXT}continue-numbering") != "true":
            self._counts.pop((style, level), None)
        for item in element:
            label = "-"
            if known is not None:
                number = self._counts.get((style, level), known[2] - 1) + 1
                number = int(item.get(f"{_TEXT}start-value") or number)
                self._counts[style, level] = number
                label = f"{known[0]}{numeral(number, known[1])}{known[3]}"
            for child in item:
                if child.tag in (f"{_TEXT}p", f"{_TEXT}h") and label:
                    self.writer.item(self._words(child), label=label, level=level)
                    self._write_notes()
                    label = ""
                else:
                    self._element(child, style, level)

    def _table(self, table: _Element) -> None:
        name = table.get(f"{_TABLE}name") or ""
        around = table.getparent()
        if around is not None and around.tag == f"{_OFFICE}spreadsheet":
            self._pages += 1
            self.writer.page(self._pages)
            self.writer.heading(name, 1)
        rows, hanging = list[list[str]](), dict[int, tuple[int, str]]()
        headers = len([*table.iterfind(f"{_TABLE}table-header-rows/{_TABLE}table-row")])
        for row in table.iter(f"{_TABLE}table-row"):
            cells = self._row(row, hanging)
            if any(cells):
                rows.append(cells)
        self.writer.table(rows, header_rows=headers or None)
        self._write_notes()

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
                text = " ".join(filter(None, (self._words(p) for p in cell.iter(f"{_TEXT}p"))))
                down = int(cell.get(f"{_TABLE}number-rows-spanned") or 1)
                across = int(cell.get(f"{_TABLE}number-columns-spanned") or 1)
                for offset in range(across if down > 1 else 0):
                    hanging[len(cells) + offset] = (down - 1, text)
                cells += [text] * repeated
        return cells

    def _frames(self, element: _Element) -> None:
        """Write the text boxes that hang on a paragraph."""
        for box in element.iter(f"{_DRAW}text-box"):
            self._children(box)

    def _words(self, element: _Element) -> str:
        return " ".join("".join(self._text(element)).replace("\n", "\0").split()).replace("\0", "\n")

    def _text(self, element: _Element) -> Iterator[str]:
        yield element.text or ""
        for child in element:
            tag = child.tag
            if tag == f"{_TEXT}note":
                citation, body = child.find(f"{_TEXT}note-citation"), child.find(f"{_TEXT}note-body")
                label = (citation.text or "") if citation is not None else ""
                self._notes.append((label, _all_text(body) if body is not None else ""))
                yield f"[{label}]"
            elif tag == f"{_TEXT}s":
                yield " " * int(child.get(f"{_TEXT}c") or 1)
            elif tag == f"{_TEXT}tab":
                yield " "
            elif tag == f"{_TEXT}line-break":
                yield "\n"
            elif tag == f"{_OFFICE}annotation":
                self.writer.note("comments were left out", example=_all_text(child))
            elif tag in (f"{_DRAW}frame", f"{_DRAW}custom-shape"):
                described = child.find(f".//{_SVG}desc")
                yield f" [{described.text}] " if described is not None and described.text else ""
            elif isinstance(tag, str):
                yield from self._text(child)
            yield child.tail or ""

    def _write_notes(self) -> None:
        for label, text in self._notes:
            self.writer.block("footnote", f"[{label}] {text}" if text else "", label=label)
        self._notes = []


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
