"""Excel workbooks by openpyxl: each sheet as tables, values as the sheet shows them."""

from __future__ import annotations

import datetime as dt
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.data.archives import Archive
from rag_opt.data.office.drawings import R, drawn_texts
from rag_opt.text.reading_writer import ReadingWriter

if TYPE_CHECKING:
    from openpyxl.cell import Cell
    from openpyxl.worksheet.worksheet import Worksheet

_MOST_BYTES = 60_000_000  # of the sheets, unpacked: openpyxl takes about 50 times as many
_NO_RESULT = re.compile(rb"<f\b[^>]*(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>")
_DIGITS = re.compile(r"([0#][0#,]*)(?:\.([0#]+))?")
_QUOTED, _CURRENCY = re.compile(r'"([^"]*)"'), re.compile(r"\[\$([^\]-]*)[^\]]*\]|([€$£¥])")
_UNSHOWN = re.compile(r"\[[^\]]*\]|_.|\*.|\\(?=.)")


def read_sheets(path: Path) -> Reading:
    """Return the sheets of an XLSX file, a page and a heading for each.

    Raises Unreadable where it is broken or locked, or openpyxl is not installed.
    """
    try:
        import openpyxl
    except ImportError:
        raise Unreadable("openpyxl is not installed; pip install openpyxl") from None
    with Archive(path, what="XLSX") as archive:
        archive.refuse_more_than(_MOST_BYTES, ending=".xml")
        sheets = [name for name in archive.names if name.startswith("xl/worksheets/") and name.endswith(".xml")]
        drawn = _drawn_by_sheet(archive)
        unknown = sum(len(_NO_RESULT.findall(archive.read(name))) for name in sheets)
    writer = ReadingWriter()
    if unknown:
        writer.note("formulas without a stored result were left out (open and save the file)", count=unknown)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what openpyxl does not know, and we do not read
            book = openpyxl.load_workbook(path, data_only=True)
    except Exception as error:  # a broken one breaks in many ways
        raise Unreadable(f"is no sound XLSX: {type(error).__name__}: {error}") from None
    if not book.sheetnames:  # openpyxl knows no "Strict Open XML"
        raise Unreadable("is an XLSX without any sheet that openpyxl knows; save it as a usual Excel workbook")
    writer.title = book.properties.title or ""
    for number, sheet in enumerate(book.worksheets, start=1):
        writer.page(number)
        _write_sheet(writer, sheet, number, drawn.get(sheet.title, []))
    for chart in book.chartsheets:
        writer.note("sheets that are charts were left out", example=chart.title)
    return writer.finish(page_count=len(book.worksheets))


def _drawn_by_sheet(archive: Archive) -> dict[str, list[str]]:
    """Return by the name of a sheet what is written on it beside its cells."""
    book = archive.main_part()
    related, sheets = archive.related(book), archive.xml(book).iter("{*}sheet")
    parts = {str(sheet.get("name")): related.get(str(sheet.get(f"{R}id"))) for sheet in sheets}
    return {name: [*filter(None, drawn_texts(archive, part.path))] for name, part in parts.items() if part is not None}


def _write_sheet(writer: ReadingWriter, sheet: Worksheet, number: int, drawn: Sequence[str]) -> None:
    rows = _rows(sheet)
    if drawn or any(any(row) for row in rows):
        writer.heading(sheet.title, 1)
    for table in _tables(rows):
        writer.table(table)
    for text in drawn:
        writer.block("paragraph", text)
    comments = [cell.comment.text for cell in list(sheet._cells.values()) if cell.comment is not None]
    if comments:
        writer.note("comments were left out", page=number, count=len(comments), example=comments[0])


def _rows(sheet: Worksheet) -> list[list[str]]:
    """Return the cells of a sheet; what is merged stands in each of its cells."""
    last_row, last_column = _extent(sheet)
    rows = [[_shown(cell) for cell in row] for row in sheet.iter_rows(max_row=last_row, max_col=last_column)]
    for merged in sheet.merged_cells.ranges:
        text = rows[merged.min_row - 1][merged.min_col - 1] if merged.min_row <= len(rows) else ""
        for row in range(merged.min_row - 1, min(merged.max_row, len(rows))):
            for column in range(merged.min_col - 1, min(merged.max_col, len(rows[row]))):
                rows[row][column] = text
    return rows


def _extent(sheet: Worksheet) -> tuple[int, int]:
    """Return the last row and column that hold a value: formats reach to the end of a sheet."""
    filled = [place for place, cell in sheet._cells.items() if cell.value is not None]
    return max((row for row, _ in filled), default=1), max((column for _, column in filled), default=1)


def _tables(rows: Sequence[list[str]]) -> Iterator[list[list[str]]]:
    """Yield the rows between empty ones."""
    table = list[list[str]]()
    for row in rows:
        if any(row):
            table.append(row)
        elif table:
            yield table
            table = []
    if table:
        yield table


def _shown(cell: Cell) -> str:
    """Return a value about as the sheet shows it: its decimals, per cents and dates."""
    value, number_format = cell.value, str(cell.number_format or "")
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat(" ") if isinstance(value, dt.datetime) else value.isoformat()
    if isinstance(value, int | float):
        return show_number(float(value), number_format)
    return str(value)


def show_number(value: float, number_format: str) -> str:
    """Return a number with the decimals, thousands, per cents and words of its format; of others as it is stored."""
    shown = _UNSHOWN.sub(
        "", _CURRENCY.sub(lambda found: f'"{found[1] or found[2] or ""}"', number_format.split(";", maxsplit=1)[0])
    )
    match = _DIGITS.search(_QUOTED.sub("", shown))
    if match is None or re.search(r"[Ee?/]", _QUOTED.sub("", shown)):
        return f"{value:.15g}"  # as many digits as a sheet keeps
    decimals, thousands = match[2] or "", "," if "," in match[1] else ""
    number = f"{value * (100 if '%' in shown else 1):{thousands}.{len(decimals)}f}"
    for _ in range(decimals.count("#")):  # decimals that are shown only where there are any
        number = number.removesuffix("0")
    whole, _, rest = number.partition(".")
    number = f"{whole.zfill(match[1].count('0'))}{f'.{rest}' if rest else ''}{'%' if '%' in shown else ''}"
    before, _, behind = shown.partition(match[0])
    words = ["".join(_QUOTED.findall(part)).strip() for part in (before, behind)]
    return " ".join(filter(None, [words[0], number, words[1]]))
