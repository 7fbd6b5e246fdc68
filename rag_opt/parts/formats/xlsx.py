"""Excel files, by openpyxl."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.formats import PackedFormat
from rag_opt.data.office.sheets import read_sheets


@register("format", "xlsx")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Xlsx(PackedFormat):
    """Read the sheets of an XLSX file as tables, values about as they are shown."""

    suffixes: ClassVar[tuple[str, ...]] = (".xlsx", ".xlsm")
    libraries: ClassVar[tuple[str, ...]] = ("openpyxl",)

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the tables. Raises Unreadable where the file is broken or locked, or openpyxl is not installed."""
        return read_sheets(path)
