"""Listings of a page: lines of equally wide characters, whose indentation says something."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from rag_opt.data.pdf.rows import Row

_INDENTED = 0.9  # of the size of a lone line: one that begins no further right than the text is part of it
_APART = 2.6  # heights of a line, by which lines of one listing may be apart
_EMPTY_LINE = 1.7  # heights of a line, from which on one was left empty


def split_listings(rows: Sequence[Row]) -> list[tuple[bool, list[Row]]]:
    """Return the rows of a column in stretches, and whether each is a listing.

    Two lines of equally wide characters are one; a lone line is only where it is indented, for words of code fill
    lines of running text too.
    """
    text = [row.box.left for row in rows if not row.fixed]
    left = min(text, default=0.0)
    stretches = list[tuple[bool, list[Row]]]()
    for fixed, group in itertools.groupby(rows, key=lambda row: row.fixed):
        same = list(group)
        lone = len(same) == 1 and bool(text) and same[0].box.left - left < _INDENTED * same[0].size
        if stretches and not stretches[-1][0] and (lone or not fixed):
            stretches[-1][1].extend(same)
        else:
            stretches += [(fixed and not lone, part) for part in (_near(same) if fixed else [same])]
    return stretches


def _near(rows: Sequence[Row]) -> list[list[Row]]:
    """Return lines that stand near one another together."""
    parts = [[rows[0]]]
    for above, row in itertools.pairwise(rows):
        if above.box.top - row.box.top > _APART * row.box.height:
            parts.append([])
        parts[-1].append(row)
    return parts


def typed_lines(rows: Sequence[Row]) -> str:
    """Return a listing with the spaces and empty lines that it was typed with."""
    left, lines, above = min(row.box.left for row in rows), list[str](), None
    for row in rows:
        if above is not None and above.box.top - row.box.top > _EMPTY_LINE * row.box.height:
            lines.append("")
        lines.append(_typed(row, left))
        above = row
    return "\n".join(lines)


def _typed(row: Row, left: float) -> str:
    width = sum(run.box.width for run in row.runs) / max(sum(len(run.text) for run in row.runs), 1)
    text = ""
    for run in row.runs:
        column = round((run.box.left - left) / max(width, 0.1))
        text += " " * max(column - len(text), int(bool(text))) + run.text
    return text
