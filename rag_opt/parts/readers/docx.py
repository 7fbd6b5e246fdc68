"""DOCX as text, by mammoth."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.text.markup import html_to_text


@register("reader", "docx")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Docx:
    """Read headings, lists, tables and footnotes of a DOCX file; pictures are left out."""

    suffixes: ClassVar[tuple[str, ...]] = (".docx",)

    def read(self, path: Path) -> str:
        """Return the text. Raises Unreadable where the file is broken or mammoth is not installed."""
        try:
            import mammoth
        except ImportError:
            raise Unreadable("mammoth is not installed; pip install mammoth") from None
        try:
            with path.open("rb") as file:
                html = mammoth.convert_to_html(file, convert_image=lambda _: []).value
        except Exception as error:  # mammoth raises whatever zip and XML do
            raise Unreadable(f"is no sound DOCX: {type(error).__name__}: {error}") from None
        return html_to_text(html.replace("↑", ""))
