"""PowerPoint files, by their XML."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.formats import PackedFormat
from rag_opt.data.office.slides import read_slides


@register("format", "pptx")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Pptx(PackedFormat):
    """Read the slides of a PPTX file one after another: titles, texts, tables, charts, notes."""

    suffixes: ClassVar[tuple[str, ...]] = (".pptx", ".pptm")

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text. Raises Unreadable where the file is broken or locked."""
        return read_slides(path)
