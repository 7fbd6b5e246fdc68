"""Word files, by their XML."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.formats import PackedFormat
from rag_opt.data.office.word import read_word


@register("format", "docx")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Docx(PackedFormat):
    """Read headings, numbered clauses, tables, text boxes, charts, notes, page heads and feet of a DOCX file."""

    suffixes: ClassVar[tuple[str, ...]] = (".docx", ".docm")

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text. Raises Unreadable where the file is broken or locked."""
        return read_word(path)
