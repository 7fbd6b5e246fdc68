"""PPTX as text, by the XML of its slides."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.text.markup import parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_SLIDE_FURNITURE = {"sldNum", "dt", "ftr", "sldImg", "hdr"}


@register("reader", "pptx")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Pptx:
    """Read the slides of a PPTX file one after another: titles, texts, tables, notes."""

    suffixes: ClassVar[tuple[str, ...]] = (".pptx",)

    def read(self, path: Path) -> str:
        """Return the text. Raises Unreadable where the file is broken."""
        try:
            with zipfile.ZipFile(path) as archive:
                return "\n\n".join(slide for slide in _slides(archive) if slide)
        except Exception as error:  # a broken one breaks in many ways
            raise Unreadable(f"is no sound PPTX: {type(error).__name__}: {error}") from None


def _related(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Return id -> (kind, path) of what a part of the archive refers to inside it."""
    folder, name = posixpath.split(part)
    relations = posixpath.join(folder, "_rels", f"{name}.rels")
    if relations not in archive.namelist():
        return {}
    related = {}
    for relation in parse_xml(archive.read(relations)):
        target = relation.get("Target") or ""
        path = target[1:] if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
        if relation.get("TargetMode") != "External":
            related[str(relation.get("Id"))] = (str(relation.get("Type")).rpartition("/")[2], path)
    return related


def _slides(archive: zipfile.ZipFile) -> Iterator[str]:
    presentations = [path for kind, path in _related(archive, "").values() if kind == "officeDocument"]
    if not presentations:
        raise KeyError("it names no presentation")
    presentation = presentations[0]
    slides = _related(archive, presentation)
    for entry in parse_xml(archive.read(presentation)).iter(f"{_P}sldId"):
        slide = slides[str(entry.get(f"{_R}id"))][1]
        texts = list(_texts(_shapes(archive, slide)))
        for kind, path in _related(archive, slide).values():
            if kind == "notesSlide":
                texts += _texts(_shapes(archive, path))
        yield "\n".join(texts)


def _shapes(archive: zipfile.ZipFile, part: str) -> _Element:
    shapes = parse_xml(archive.read(part)).find(f".//{_P}spTree")
    if shapes is None:
        raise KeyError(f"{part} has no shapes")
    return shapes


def _texts(shapes: Iterable[_Element]) -> Iterator[str]:
    for shape in shapes:
        if shape.tag == f"{_MC}AlternateContent":
            yield from _texts(choice if (choice := shape.find(f"{_MC}Choice")) is not None else shape)
        elif shape.tag == f"{_P}grpSp":
            yield from _texts(shape)
        elif shape.tag == f"{_P}sp":
            placeholder = shape.find(f".//{_P}nvPr/{_P}ph")
            kind = placeholder.get("type", "") if placeholder is not None else ""
            lines = [line for line in map(_paragraph, shape.iter(f"{_A}p")) if line]
            if kind not in _SLIDE_FURNITURE and lines:
                yield f"# {' '.join(lines)}" if kind in ("title", "ctrTitle") else "\n".join(lines)
        elif shape.tag == f"{_P}graphicFrame":
            for row in shape.iter(f"{_A}tr"):
                cells = (" ".join(filter(None, map(_paragraph, cell.iter(f"{_A}p")))) for cell in row.iter(f"{_A}tc"))
                yield " | ".join(cells)


def _paragraph(paragraph: _Element) -> str:
    runs = paragraph.iter(f"{_A}t", f"{_A}br", f"{_A}tab", f"{_M}t")
    return "".join((run.text or "") if run.tag in (f"{_A}t", f"{_M}t") else " " for run in runs).strip()
