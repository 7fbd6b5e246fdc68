"""Ruled tables: lines that cross one another make cells, and what stands in a cell is its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from rag_opt.data.pdf.boxes import Box, Run, around
from rag_opt.data.pdf.rows import Row, to_rows
from rag_opt.data.pdf.words import join_lines

_NEAR = 3.0  # points between ends of lines that touch
_MOST_LINES = 2000  # a page with more of them is a drawing


class _Grid(NamedTuple):
    """Where the lines of a table lie: `across` from left to right, `down` from the top to the bottom."""

    across: list[float]
    down: list[float]
    level: list[Box]
    upright: list[Box]

    @property
    def box(self) -> Box:
        return Box(self.across[0], self.down[-1], self.across[-1], self.down[0])


def take_tables(runs: Sequence[Run], rules: Sequence[Box]) -> tuple[list[Run], list[Row]]:
    """Return the runs that stand in no ruled table, and each table as a row of its own."""
    left, tables = list(runs), list[Row]()
    for grid in _find_grids(rules):
        inside = [run for run in left if grid.box.holds(*_middle(run.box), margin=1.0)]
        cells = _read_cells(grid, inside)
        if sum(1 for row in cells for cell in row if cell) < 3:
            continue
        left = [run for run in left if run not in inside]
        tables.append(Row([], grid.box, table=cells))
    return left, tables


def _middle(box: Box) -> tuple[float, float]:
    return (box.left + box.right) / 2, (box.bottom + box.top) / 2


def _find_grids(rules: Sequence[Box]) -> list[_Grid]:
    if len(rules) > _MOST_LINES:
        return []
    level = [rule for rule in rules if rule.width >= rule.height]
    upright = [rule for rule in rules if rule.height > rule.width]
    grids = []
    for group in _touching([*level, *upright]):
        its_level, its_upright = [r for r in group if r in level], [r for r in group if r in upright]
        across = _places([_middle(rule)[0] for rule in its_upright])
        down = _places([_middle(rule)[1] for rule in its_level])[::-1]
        if not its_level or not its_upright:
            continue
        box = around(group)
        across = _places([box.left, *across, box.right])  # the outer lines of a table are often left away
        if len(across) >= 3 and len(down) >= 3:
            grids.append(_Grid(across, down, its_level, its_upright))
    return grids


def _touching(rules: list[Box]) -> list[list[Box]]:
    """Return the lines in groups whose members touch or cross."""
    groups: list[list[Box]] = []
    for rule in rules:
        mine = [group for group in groups if any(_touch(rule, other) for other in group)]
        groups = [group for group in groups if group not in mine]
        groups.append([rule, *(other for group in mine for other in group)])
    return groups


def _touch(one: Box, other: Box) -> bool:
    return (
        one.left - _NEAR <= other.right
        and other.left - _NEAR <= one.right
        and one.bottom - _NEAR <= other.top
        and other.bottom - _NEAR <= one.top
    )


def _places(places: Sequence[float]) -> list[float]:
    """Return places in their order, those that nearly fall together as one."""
    merged: list[float] = []
    for place in sorted(places):
        if not merged or place - merged[-1] > _NEAR:
            merged.append(place)
    return merged


def _read_cells(grid: _Grid, runs: Sequence[Run]) -> list[list[str]]:
    """Return the text of each cell; one that spans several rows or columns stands in each of them."""
    across, down = grid.across, grid.down
    pieces: dict[tuple[int, int], list[Run]] = {}
    for run in runs:
        for piece in _cut(run, across):
            x, y = _middle(piece.box)
            row = max(sum(y < place for place in down) - 1, 0)
            column = max(sum(x > place for place in across) - 1, 0)
            pieces.setdefault((min(row, len(down) - 2), min(column, len(across) - 2)), []).append(piece)
    owner = _owners(grid)
    texts: dict[tuple[int, int], list[Run]] = {}
    for cell, its_runs in pieces.items():
        texts.setdefault(owner[cell], []).extend(its_runs)
    joined = {cell: join_lines(row.text for row in to_rows(its_runs)) for cell, its_runs in texts.items()}
    return [[joined.get(owner[row, c], "") for c in range(len(across) - 1)] for row in range(len(down) - 1)]


def _owners(grid: _Grid) -> dict[tuple[int, int], tuple[int, int]]:
    """Return by row and column the first cell of those that no line parts from it."""
    across, down, owner = grid.across, grid.down, dict[tuple[int, int], tuple[int, int]]()
    for row in range(len(down) - 1):
        for column in range(len(across) - 1):
            y, x = (down[row] + down[row + 1]) / 2, (across[column] + across[column + 1]) / 2
            if column and not any(_on(rule, across[column], y) for rule in grid.upright):
                owner[row, column] = owner[row, column - 1]
            elif row and not any(_on(rule, x, down[row]) for rule in grid.level):
                owner[row, column] = owner[row - 1, column]
            else:
                owner[row, column] = (row, column)
    return owner


def _on(rule: Box, x: float, y: float) -> bool:
    return rule.holds(x, y, margin=_NEAR)


def _cut(run: Run, across: Sequence[float]) -> list[Run]:
    """Return a run cut where lines part it."""
    if not any(run.box.left + 1 < place < run.box.right - 1 for place in across) or len(run.edges) != len(run.text):
        return [run]
    pieces: list[Run] = []
    column = None
    for character, (left, right) in zip(run.text, run.edges, strict=True):
        mine = sum((left + right) / 2 > place for place in across)
        if mine != column or not pieces:
            pieces.append(replace(run, text="", box=Box(left, run.box.bottom, right, run.box.top), edges=[]))
            column = mine
        last = pieces[-1]
        last.text += character
        last.edges.append((left, right))
        last.box = Box(last.box.left, last.box.bottom, max(last.box.right, right), last.box.top)
    return [piece for piece in pieces if piece.text.strip()]
