"""PowerPoint documents: slides in the order in which they are shown, by their XML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.data.archives import Archive, refuse_deep
from rag_opt.data.office.drawings import A, R, write_drawings
from rag_opt.text.reading_writer import ReadingWriter, guess_header_rows

if TYPE_CHECKING:
    from lxml.etree import _Element

_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_COUNTERS = ("sldNum", "dt", "sldImg")
_AROUND = ("ftr", "hdr")
_TITLES = ("title", "ctrTitle")


def read_slides(path: Path) -> Reading:
    """Return the text of a PPTX file, a page for each slide. Raises Unreadable where it is broken or locked."""
    with Archive(path, what="PPTX") as archive:
        return _Slides(archive).read()


class _Slides:
    def __init__(self, archive: Archive) -> None:
        self._archive, self._writer = archive, ReadingWriter()
        self._around: set[str] = set()

    def read(self) -> Reading:
        presentation = self._archive.main_part()
        related, count = self._archive.related(presentation), 0
        self._writer.title = self._archive.title()
        for count, entry in enumerate(self._archive.xml(presentation).iter(f"{_P}sldId"), start=1):
            slide = related.get(str(entry.get(f"{R}id")))
            self._writer.page(count)
            if slide is None or slide.path not in self._archive:
                self._writer.note("slides are missing in the file", page=count)
                continue
            self._slide(slide.path, count)
        return self._writer.finish(page_count=count)

    def _slide(self, part: str, number: int) -> None:
        root = self._archive.xml(part)
        refuse_deep(root, what="PPTX")
        if root.find(f".//{_P}spTree") is None:
            raise Unreadable(f"is no sound PPTX: {part} has no shapes")
        if root.get("show") in ("0", "false"):
            self._writer.note(
                "hidden slides were left out", page=number, example=" ".join(map(str, root.itertext(f"{A}t")))
            )
            return
        shapes = [*root.iterfind(f".//{_P}spTree/*")]  # as they lie over one another: the title may lie anywhere
        self._shapes(sorted(shapes, key=lambda shape: not _is_title(shape)), part)
        for related in self._archive.related(part).values():
            if related.kind == "notesSlide" and related.path in self._archive:
                notes = self._archive.xml(related.path)
                self._shapes(notes.iterfind(f".//{_P}spTree/*"), related.path)
            elif related.kind == "comments":
                self._writer.note("comments were left out", page=number)

    def _shapes(self, shapes: Iterable[_Element], part: str) -> None:
        for shape in shapes:
            if shape.tag == f"{_MC}AlternateContent":
                choice = shape.find(f"{_MC}Choice")
                self._shapes(choice if choice is not None else shape.iterfind(f"{_MC}Fallback/*"), part)
            elif shape.tag == f"{_P}grpSp":
                self._shapes(shape, part)
            elif shape.tag == f"{_P}sp":
                self._text_shape(shape)
            elif shape.tag == f"{_P}graphicFrame":
                for table in shape.iter(f"{A}tbl"):
                    self._table(table)
                write_drawings(self._writer, self._archive, part, shape)
            elif shape.tag == f"{_P}pic":
                named = shape.find(f"{_P}nvPicPr/{_P}cNvPr")
                described = " ".join(str(named.get("descr") or "").split()) if named is not None else ""
                self._writer.block("paragraph", f"[{described}]" if described else "")

    def _text_shape(self, shape: _Element) -> None:
        placeholder = shape.find(f".//{_P}nvPr/{_P}ph")
        kind = placeholder.get("type", "body") if placeholder is not None else ""
        lines = [(line, level) for paragraph in shape.iter(f"{A}p") for line, level in _line(paragraph)]
        text = "\n".join(line for line, _ in lines)
        if kind in _COUNTERS or not lines:
            return
        if kind in _AROUND:
            if text not in self._around:  # of every slide
                self._around.add(text)
                self._writer.block("page foot" if kind == "ftr" else "page head", text)
        elif kind in _TITLES:
            self._writer.heading(text, 1)
        elif kind == "subTitle":
            self._writer.heading(text, 2)
        elif placeholder is not None and len(lines) > 1:
            for line, level in lines:
                self._writer.item(line, level=level + 1)
        else:
            self._writer.block("paragraph", text)

    def _table(self, table: _Element) -> None:
        rows = list[list[str]]()
        for row in table.iter(f"{A}tr"):
            texts = list[str]()
            for column, cell in enumerate(row.iter(f"{A}tc")):
                if cell.get("hMerge") in ("1", "true"):
                    texts.append(texts[-1] if texts else "")
                elif cell.get("vMerge") in ("1", "true"):
                    texts.append(rows[-1][column] if rows and column < len(rows[-1]) else "")
                else:
                    texts.append(" ".join(line for p in cell.iter(f"{A}p") for line, _ in _line(p)))
            rows.append(texts)
        properties = table.find(f"{A}tblPr")
        named = properties is not None and properties.get("firstRow") in ("1", "true")
        self._writer.table(rows, header_rows=1 if named else guess_header_rows(rows) if rows else 0)


def _is_title(shape: _Element) -> bool:
    placeholder = shape.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph")
    return placeholder is not None and placeholder.get("type") in _TITLES


def _line(paragraph: _Element) -> Iterator[tuple[str, int]]:
    """Yield the text of a paragraph and how deep it is indented, if there is any text in it."""
    runs = paragraph.iter(f"{A}t", f"{A}br", f"{A}tab", f"{_M}t")
    text = "".join((run.text or "") if run.tag in (f"{A}t", f"{_M}t") else " " for run in runs).strip()
    properties = paragraph.find(f"{A}pPr")
    level = int(properties.get("lvl") or 0) if properties is not None else 0
    if text:
        yield text, level
