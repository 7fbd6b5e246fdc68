"""HTML pages as text."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.reading import read_utf8
from rag_opt.text.markup import html_to_text


@register("reader", "html")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class WebPage:
    """Read what can be seen of an HTML page, headings and list items marked as in Markdown, table cells apart."""

    suffixes: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml")

    def read(self, path: Path) -> str:
        """Return the visible text. Raises Unreadable where the file is not UTF-8."""
        return html_to_text(read_utf8(path))
