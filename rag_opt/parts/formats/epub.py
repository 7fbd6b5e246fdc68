"""EPUB books, by the pages that their package lists."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from pydantic.dataclasses import dataclass

from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.archives import Archive
from rag_opt.data.decoding import decode
from rag_opt.data.formats import PackedFormat
from rag_opt.data.html.reading import read_html
from rag_opt.text.reading_writer import ReadingWriter


@register("format", "epub")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Epub(PackedFormat):
    """Read the chapters of an EPUB book in their order, without its table of contents."""

    suffixes: ClassVar[tuple[str, ...]] = (".epub",)

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text. Raises Unreadable where the file is broken."""
        writer = ReadingWriter()
        with Archive(path, what="EPUB") as archive:
            writer.title = _title(archive)
            for page in _chapters(archive, writer):
                writer.append(read_html(page))
        return writer.finish()


def _package(archive: Archive) -> str:
    rootfile = archive.xml("META-INF/container.xml").find(".//{*}rootfile")
    return str(rootfile.get("full-path")) if rootfile is not None else ""


def _title(archive: Archive) -> str:
    title = archive.xml(_package(archive)).find(".//{http://purl.org/dc/elements/1.1/}title")
    return (title.text or "") if title is not None else ""


def _chapters(archive: Archive, writer: ReadingWriter) -> Iterator[str]:
    """Yield the pages of the spine; one that is listed several times with other places in it comes once."""
    package = _package(archive)
    root, folder, seen = archive.xml(package), posixpath.dirname(package), set[str]()
    items = {item.get("id"): item for item in root.iterfind(".//{*}manifest/{*}item")}
    for entry in root.iterfind(".//{*}spine/{*}itemref"):
        item = items.get(entry.get("idref"))
        if item is None or "html" not in str(item.get("media-type", "")):
            continue
        page = str(item.get("href", "")).partition("#")[0]
        name = posixpath.normpath(posixpath.join(folder, unquote(page)))
        if name not in seen and "nav" not in str(item.get("properties", "")).split():
            seen.add(name)
            if name in archive:
                yield decode(archive.read(name), encoding=None, declares=True)[0]
            else:
                writer.note("chapters are missing in the file", example=name)
