"""Files of separated values as tables."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.decoding import decode, read_bytes
from rag_opt.data.formats import TextFormat
from rag_opt.text.reading_writer import ReadingWriter

_SEPARATORS = ",;\t|"
_SAMPLE = 20_000


@register("format", "csv")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class CsvTable(TextFormat):
    """Read a CSV or TSV file as one table, whose first row names its columns where it looks like it."""

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv")

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the table. Raises Unreadable where the file is no text or no table."""
        text, notes = decode(read_bytes(path), encoding=encoding)
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text)))
        except csv.Error as error:
            raise Unreadable(f"is no table of separated values: {error}") from None
        writer = ReadingWriter()
        writer.table(rows)
        writer.take_notes(notes)
        return writer.finish()


def _separator(text: str) -> str:
    """Return what parts the values; a comma where one column, or too few rows, do not tell."""
    try:
        return str(csv.Sniffer().sniff(text[:_SAMPLE], delimiters=_SEPARATORS).delimiter)
    except csv.Error:
        return ","
