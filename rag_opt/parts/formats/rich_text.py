"""RTF files, by striprtf."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.decoding import read_bytes
from rag_opt.data.formats import PackedFormat
from rag_opt.text.reading_writer import ReadingWriter


@register("format", "rtf")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class RichText(PackedFormat):
    """Read the text of an RTF file, its tables as lines."""

    suffixes: ClassVar[tuple[str, ...]] = (".rtf",)
    libraries: ClassVar[tuple[str, ...]] = ("striprtf",)

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text. Raises Unreadable where the file is no RTF, or striprtf is not installed."""
        try:
            from striprtf.striprtf import rtf_to_text
        except ImportError:
            raise Unreadable("striprtf is not installed; pip install striprtf") from None
        content = read_bytes(path)
        if not content.lstrip().startswith(b"{\\rtf"):
            raise Unreadable("is no sound RTF: it does not begin as one")
        writer = ReadingWriter()
        try:
            text = rtf_to_text(content.decode("latin-1"), encoding=encoding or "cp1252", errors="replace")
        except Exception as error:  # a broken one breaks in many ways
            raise Unreadable(f"is no sound RTF: {type(error).__name__}: {error}") from None
        for line in text.split("\n"):
            cells = line.split("|")
            if len(cells) > 2 and not cells[-1].strip():  # as striprtf writes the row of a table
                writer.block("paragraph", " | ".join(cell.strip() for cell in cells[:-1]))
            else:
                writer.block("paragraph", " ".join(line.split()))
        return writer.finish()
