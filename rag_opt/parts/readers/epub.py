"""EPUB as text, by the pages that its package lists."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.text.markup import html_to_text, parse_xml


@register("reader", "epub")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Epub:
    """Read the chapters of an EPUB book in their order, without its table of contents."""

    suffixes: ClassVar[tuple[str, ...]] = (".epub",)

    def read(self, path: Path) -> str:
        """Return the text. Raises Unreadable where the file is broken."""
        try:
            with zipfile.ZipFile(path) as archive:
                return "\n\n".join(text for page in _chapters(archive) if (text := html_to_text(page)))
        except Exception as error:  # a broken one breaks in many ways
            raise Unreadable(f"is no sound EPUB: {type(error).__name__}: {error}") from None


def _chapters(archive: zipfile.ZipFile) -> Iterator[str]:
    """Yield the pages of the spine; one that is listed several times with other places in it comes once."""
    rootfile = parse_xml(archive.read("META-INF/container.xml")).find(".//{*}rootfile")
    package = str(rootfile.get("full-path")) if rootfile is not None else ""
    root, folder, seen = parse_xml(archive.read(package)), posixpath.dirname(package), set[str]()
    items = {item.get("id"): item for item in root.iterfind(".//{*}manifest/{*}item")}
    for entry in root.iterfind(".//{*}spine/{*}itemref"):
        item = items.get(entry.get("idref"))
        if item is None or "html" not in str(item.get("media-type", "")):
            continue
        page = str(item.get("href", "")).partition("#")[0]
        name = posixpath.normpath(posixpath.join(folder, unquote(page)))
        if name not in seen and "nav" not in str(item.get("properties", "")).split():
            seen.add(name)
            yield archive.read(name).decode("utf-8", "replace")
