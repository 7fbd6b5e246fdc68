"""DOCX by mammoth, PPTX and EPUB by their XML: zip files, all three."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rag_opt.data.formats.failing import Unreadable
from rag_opt.data.formats.pages import html_text

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_CHOICES = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_SLIDE_FURNITURE = {"sldNum", "dt", "ftr", "sldImg", "hdr"}


def docx_text(path: Path) -> str:
    """Headings, lists, tables and footnotes as mammoth finds them; pictures left out. Raises Unreadable."""
    try:
        import mammoth
    except ImportError:
        raise Unreadable("needs mammoth; pip install 'rag-opt[documents]'") from None
    try:
        with path.open("rb") as file:
            html = mammoth.convert_to_html(file, convert_image=lambda _: []).value
    except Exception as error:  # mammoth raises whatever zip and XML do
        raise Unreadable(f"is no sound DOCX: {type(error).__name__}: {error}") from None
    return html_text(html.replace("↑", ""))


def pptx_text(path: Path) -> str:
    """Slides one after another: titles, texts, tables, notes. Raises Unreadable."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "\n\n".join(slide for slide in _slides(archive) if slide)
    except Exception as error:  # a broken one breaks in many ways
        raise Unreadable(f"is no sound PPTX: {type(error).__name__}: {error}") from None


def epub_text(path: Path) -> str:
    """The chapters in their order. Raises Unreadable."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "\n\n".join(text for page in _chapters(archive) if (text := html_text(page)))
    except Exception as error:  # a broken one breaks in many ways
        raise Unreadable(f"is no sound EPUB: {type(error).__name__}: {error}") from None


def _xml(archive: zipfile.ZipFile, name: str) -> Any:
    from lxml import etree

    return etree.fromstring(archive.read(name), etree.XMLParser(resolve_entities=False, no_network=True, recover=True))


def _related(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Id -> (kind, path) of what a part refers to inside the archive."""
    folder, name = posixpath.split(part)
    relations = posixpath.join(folder, "_rels", f"{name}.rels")
    if relations not in archive.namelist():
        return {}
    found = {}
    for one in _xml(archive, relations):
        target = one.get("Target") or ""
        place = target[1:] if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
        if one.get("TargetMode") != "External":
            found[one.get("Id")] = (str(one.get("Type")).rpartition("/")[2], place)
    return found


def _slides(archive: zipfile.ZipFile) -> Iterator[str]:
    mains = [place for kind, place in _related(archive, "").values() if kind == "officeDocument"]
    if not mains:
        raise KeyError("it names no presentation")
    main = mains[0]
    slides = _related(archive, main)
    for entry in _xml(archive, main).iter(f"{_P}sldId"):
        part = slides[entry.get(f"{_R}id")][1]
        shown = list(_shapes(_xml(archive, part).find(f".//{_P}spTree")))
        for kind, place in _related(archive, part).values():
            if kind == "notesSlide":
                shown += _shapes(_xml(archive, place).find(f".//{_P}spTree"))
        yield "\n".join(shown)


def _shapes(tree: Any) -> Iterator[str]:
    for shape in tree:
        if shape.tag == f"{_CHOICES}AlternateContent":
            yield from _shapes(choice if (choice := shape.find(f"{_CHOICES}Choice")) is not None else shape)
        elif shape.tag == f"{_P}grpSp":
            yield from _shapes(shape)
        elif shape.tag == f"{_P}sp":
            place = shape.find(f".//{_P}nvPr/{_P}ph")
            kind = place.get("type", "") if place is not None else ""
            lines = [line for line in map(_paragraph, shape.iter(f"{_A}p")) if line]
            if kind not in _SLIDE_FURNITURE and lines:
                yield f"# {' '.join(lines)}" if kind in ("title", "ctrTitle") else "\n".join(lines)
        elif shape.tag == f"{_P}graphicFrame":
            for row in shape.iter(f"{_A}tr"):
                cells = (" ".join(filter(None, map(_paragraph, cell.iter(f"{_A}p")))) for cell in row.iter(f"{_A}tc"))
                yield " | ".join(cells)


def _paragraph(paragraph: Any) -> str:
    said = paragraph.iter(f"{_A}t", f"{_A}br", f"{_A}tab", f"{_M}t")
    return "".join((one.text or "") if one.tag in (f"{_A}t", f"{_M}t") else " " for one in said).strip()


def _chapters(archive: zipfile.ZipFile) -> Iterator[str]:
    """The pages of the spine; one that is listed several times with other places in it comes once."""
    package = str(_xml(archive, "META-INF/container.xml").xpath('string(//*[local-name()="rootfile"]/@full-path)'))
    root, folder, seen = _xml(archive, package), posixpath.dirname(package), set[str]()
    items = {one.get("id"): one for one in root.xpath('//*[local-name()="manifest"]/*[local-name()="item"]')}
    for entry in root.xpath('//*[local-name()="spine"]/*[local-name()="itemref"]'):
        item = items.get(entry.get("idref"))
        if item is None or "html" not in (item.get("media-type") or ""):
            continue
        name = posixpath.normpath(posixpath.join(folder, unquote(item.get("href").partition("#")[0])))
        if name not in seen and "nav" not in (item.get("properties") or "").split():
            seen.add(name)
            yield archive.read(name).decode("utf-8", "replace")
