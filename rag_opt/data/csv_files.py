"""Rows of CSV files as people have them: any of the usual delimiters, fields of any size."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from rag_opt.data.reading import JsonObject, Problems, read_utf8_or_report

_DELIMITERS = (",", ";", "\t", "|")
_LARGEST_FIELD = 2**31 - 1  # bytes; the library stops at 128 kB by itself


def read_csv(path: Path, problems: Problems) -> tuple[list[str], list[tuple[str, JsonObject]]]:
    """Return the columns, and (`file:line`, row) for every row; a row with too many or too few fields is a problem."""
    text = read_utf8_or_report(path, problems)
    if text is None:
        return [], []
    header = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=lambda one: len(next(csv.reader([header], delimiter=one), [])))
    before = csv.field_size_limit(_LARGEST_FIELD)
    try:
        # text mode would change the line ends inside quoted fields
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        columns = list(reader.fieldnames or ())
        rows = [(f"{path}:{reader.line_num}", row) for row in reader]
    except csv.Error as error:
        problems.add(str(path), f"is no CSV file: {error}")
        return [], []
    finally:
        csv.field_size_limit(before)
    found = list[tuple[str, JsonObject]]()
    for where, row in rows:
        beyond, missing = row.pop(None, None), [name for name, value in row.items() if value is None]
        if beyond or missing:
            what = f"has {len(beyond)} fields more" if beyond else f"has {len(missing)} fields fewer"
            problems.add(where, f"{what} than the {len(columns)} columns of its header")
            continue
        found.append((where, dict(row)))
    return columns, found
