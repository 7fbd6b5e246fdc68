"""Files as Markdown, by markitdown."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.text.markdown_blocks import markdown_blocks


@register("reader", "markitdown")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class MarkItDown:
    """Read Office documents, PDFs, web pages and books as Markdown, by Microsoft's markitdown."""

    suffixes: ClassVar[tuple[str, ...]] = (
        ".pdf",
        ".docx",
        ".pptx",
        ".xlsx",
        ".html",
        ".htm",
        ".epub",
        ".csv",
        ".ipynb",
    )
    libraries: ClassVar[tuple[str, ...]] = (
        "markitdown",
        "markdown-it-py",
        "mammoth",
        "pdfminer.six",
        "python-pptx",
        "openpyxl",
        "beautifulsoup4",
    )
    isolated: ClassVar[bool] = True

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the Markdown that markitdown writes. Raises Unreadable where it fails, or is not installed."""
        try:
            from markitdown import MarkItDown as Converter
        except ImportError:
            raise Unreadable("markitdown is not installed; the extra `markitdown` of rag_opt has it") from None
        try:
            converted = Converter(enable_plugins=False).convert(str(path))
        except Exception as error:  # of any class: it wraps what a dozen libraries raise
            raise Unreadable(f"is nothing that markitdown reads: {type(error).__name__}: {error}") from None
        text = str(converted.text_content)
        return Reading(text, markdown_blocks(text), title=str(converted.title or ""))
