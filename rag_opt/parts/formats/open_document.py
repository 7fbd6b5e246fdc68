"""OpenDocument files, by their XML."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.formats import PackedFormat
from rag_opt.data.office.open_document import read_open_document


@register("format", "open_document")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class OpenDocument(PackedFormat):
    """Read headings, lists, tables and notes of ODT, ODS and ODP files."""

    suffixes: ClassVar[tuple[str, ...]] = (".odt", ".ods", ".odp")

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text. Raises Unreadable where the file is broken or locked."""
        return read_open_document(path)
