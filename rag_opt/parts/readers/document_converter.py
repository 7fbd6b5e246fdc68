"""Files as Markdown, by kreuzberg."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.text.markdown_blocks import markdown_blocks


@register("reader", "kreuzberg")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Kreuzberg:
    """Read documents of many formats as Markdown, by kreuzberg."""

    suffixes: ClassVar[tuple[str, ...]] = (
        ".pdf",
        ".docx",
        ".pptx",
        ".xlsx",
        ".html",
        ".htm",
        ".epub",
        ".odt",
        ".rtf",
        ".csv",
        ".ipynb",
        ".eml",
        ".rst",
        ".tex",
    )
    libraries: ClassVar[tuple[str, ...]] = ("kreuzberg", "markdown-it-py")
    isolated: ClassVar[bool] = True

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the Markdown that kreuzberg writes. Raises Unreadable where it fails, or is not installed."""
        try:
            from kreuzberg import ExtractionConfig, extract_file_sync
        except ImportError:
            raise Unreadable("kreuzberg is not installed; the extra `kreuzberg` of rag_opt has it") from None
        try:
            extracted = extract_file_sync(str(path), config=ExtractionConfig(output_format="markdown"))
        except Exception as error:  # of any class that its core raises
            raise Unreadable(f"is nothing that kreuzberg reads: {type(error).__name__}: {error}") from None
        text = str(extracted.content)
        return Reading(text, markdown_blocks(text))
