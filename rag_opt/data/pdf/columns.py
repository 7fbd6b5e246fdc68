"""Columns: gaps that run down through many rows part a page into texts that are read one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rag_opt.data.pdf.boxes import Run
from rag_opt.data.pdf.rows import Row, join_runs, to_rows
from rag_opt.data.pdf.words import MARK, join_lines

_MIN_ROWS = 3  # with text on both sides of a gap
_MIN_GAP = 0.9  # of the height of a row
_SINGLE_SIDED = 2.2  # heights from the row before, within which a row on one side still belongs to its column
_FILLED = 0.72  # of its column's width that a line of prose fills, as a rule
_PROSE_CHARACTERS = 17
_ALIGNED = 3.0  # points
_DEEPEST = 6  # columns in columns

Gap = tuple[float, float]


class Segment(NamedTuple):
    """Rows that are read from the highest to the lowest, in one column; or, with `cells`, a table without lines."""

    rows: list[Row]
    cells: list[list[str]] | None = None


def find_segments(rows: Sequence[Row], depth: int = 0) -> list[Segment]:
    """Return the rows of a page or a column in the order of reading."""
    segments, plain, first = list[Segment](), list[Row](), 0
    while first < len(rows):
        band = _band_from(rows, first) if depth < _DEEPEST else None
        if band is None:
            plain.append(rows[first])
            first += 1
            continue
        last, gaps = band
        inside = rows[first : last + 1]
        cells = _as_table(inside, gaps)
        if cells is not None:
            segments += [Segment(plain)] if plain else []
            segments.append(Segment(list(inside), cells))
            plain, first = [], last + 1
        elif _is_prose(inside, gaps):
            segments += [Segment(plain)] if plain else []
            for column in _split(inside, gaps):
                segments += find_segments(column, depth + 1)
            plain, first = [], last + 1
        else:
            plain += inside
            first = last + 1
    return segments + ([Segment(plain)] if plain else [])


def _gaps_of(row: Row) -> Iterator[Gap]:
    """Yield the gaps between the runs of a row that may part columns; behind the mark of a list item is none."""
    if row.table is not None:
        return
    right, after_mark = None, False
    for run in row.runs:
        if right is not None and not after_mark and run.box.left - right >= _MIN_GAP * row.box.height:
            yield right, run.box.left
        after_mark = right is None and MARK.fullmatch(run.text.strip()) is not None
        right = run.box.right if right is None else max(right, run.box.right)


def _free(row: Row, gap: Gap) -> Gap | None:
    """Return the widest piece of a gap that no text of a row covers; None where it is too narrow."""
    pieces, (low, high) = list[Gap](), gap
    for left, right in [(run.box.left, run.box.right) for run in row.runs] or [(row.box.left, row.box.right)]:
        if right <= low or left >= high:
            continue
        if left > low:
            pieces.append((low, left))
        low = max(low, right)
    if high > low:
        pieces.append((low, high))
    widest = max(pieces, key=lambda piece: piece[1] - piece[0], default=(0.0, 0.0))
    return widest if widest[1] - widest[0] >= 0.6 * _MIN_GAP * row.box.height else None


def _band_from(rows: Sequence[Row], first: int) -> tuple[int, list[Gap]] | None:
    """Return the last row of the longest band that begins with a row, and the gaps that run through all of it."""
    followed = [_follow(rows, first, gap) for gap in _gaps_of(rows[first])]
    both, last, gap = max(followed, key=lambda one: one[0], default=(0, first, (0.0, 0.0)))
    if both < _MIN_ROWS:
        return None
    gaps = [gap]
    for other in _gaps_of(rows[first]):
        narrowed = _through(rows[first + 1 : last + 1], other)
        if narrowed is not None and all(narrowed[1] <= known[0] or narrowed[0] >= known[1] for known in gaps):
            gaps.append(narrowed)
    return last, sorted(gaps)


def _follow(rows: Sequence[Row], first: int, gap: Gap) -> tuple[int, int, Gap]:
    """Return through how many rows with text on both sides a gap runs down, the last of its rows, and what is left."""
    both, last = 1, first
    for position in range(first + 1, len(rows)):
        row, above = rows[position], rows[position - 1]
        free = _free(row, gap)
        if free is None:
            break
        if row.box.left < free[0] and row.box.right > free[1]:
            both += 1
        elif above.box.bottom - row.box.top > _SINGLE_SIDED * row.box.height:
            break
        gap, last = free, position
    return both, last, gap


def _through(rows: Sequence[Row], gap: Gap) -> Gap | None:
    """Return what is left of a gap below some rows; None where one of them closes it."""
    for row in rows:
        free = _free(row, gap)
        if free is None:
            return None
        gap = free
    return gap


def _split(rows: Sequence[Row], gaps: Sequence[Gap]) -> list[list[Row]]:
    """Return the rows of each column, put together anew: neighbours need not stand at one height."""
    columns: list[list[Run]] = [[] for _ in range(len(gaps) + 1)]
    tables: list[list[Row]] = [[] for _ in columns]
    for row in rows:
        if row.table is not None:
            tables[_column(row.box.left, gaps)].append(row)
        for run in row.runs:
            columns[_column(run.box.left, gaps)].append(run)
    split = [to_rows(runs) + extra for runs, extra in zip(columns, tables, strict=True)]
    return [sorted(column, key=lambda row: -row.box.top) for column in split if column]


def _column(left: float, gaps: Sequence[Gap]) -> int:
    return sum(left >= (low + high) / 2 for low, high in gaps)


def _is_prose(rows: Sequence[Row], gaps: Sequence[Gap]) -> bool:
    """Return whether columns hold running text: most of their lines are long and fill the width."""
    for column in _split(rows, gaps):
        if any(row.table is not None for row in column):
            continue
        left, right = min(row.box.left for row in column), max(row.box.right for row in column)
        lengths = sorted(len(row.text) for row in column)
        widths = sorted(row.box.width / max(right - left, 1.0) for row in column)
        middle = len(column) // 2
        if lengths[middle] < _PROSE_CHARACTERS or widths[middle] < _FILLED:
            return False
    return True


def _as_table(rows: Sequence[Row], gaps: Sequence[Gap]) -> list[list[str]] | None:
    """Return the cells of rows that stand under one another in columns of short texts; None where they do not."""
    if any(row.table is not None for row in rows):
        return None
    split = [
        [[run for run in row.runs if _column(run.box.left, gaps) == c] for c in range(len(gaps) + 1)] for row in rows
    ]
    full = [cells for cells in split if sum(map(bool, cells)) >= 2]
    if len(full) < _MIN_ROWS or 2 * len(full) < len(split):
        return None
    for column in range(1, len(gaps) + 1):
        lefts = sorted(cells[column][0].box.left for cells in full if cells[column])
        rights = sorted(cells[column][-1].box.right for cells in full if cells[column])
        if not (_mostly_aligned(lefts) or _mostly_aligned(rights)):
            return None
    texts = [[join_runs(cell) for cell in cells] for cells in split]
    lengths = sorted(len(cell) for cells in texts for cell in cells[1:] if cell)
    prose = _is_prose(rows, gaps)
    if prose and lengths[len(lengths) // 2] >= _PROSE_CHARACTERS:
        return None
    return _join_continued(texts)


def _mostly_aligned(places: Sequence[float]) -> bool:
    if not places:
        return False
    middle = places[len(places) // 2]
    return sum(abs(place - middle) <= _ALIGNED for place in places) >= 0.7 * len(places)


def _join_continued(rows: list[list[str]]) -> list[list[str]]:
    """Return rows of cells; one without a first cell goes on with the cells above it."""
    joined: list[list[str]] = []
    for row in rows:
        if joined and not row[0] and sum(map(bool, row)) < len(row):
            joined[-1] = [join_lines(pair) for pair in zip(joined[-1], row, strict=True)]
        else:
            joined.append(row)
    return joined
