"""Tables of HTML as rows of cells: what spans several rows or columns stands in each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from rag_opt.text.markup import HtmlElement, tag_of

_MOST_SPANNED = 1000  # columns or rows: larger numbers are mistakes


class Grid(NamedTuple):
    """Rows of cells, of which the first `header_rows` name the columns."""

    rows: list[list[str]]
    header_rows: int


def read_grid(table: HtmlElement, text: Callable[[HtmlElement], str]) -> Grid:
    """Return the cells of a table by row; `text` gives those of one cell."""
    rows, headers, hanging = list[list[str]](), list[bool](), dict[int, tuple[int, str]]()
    for row in _rows(table):
        cells, column = list[str](), 0
        inside = [one for cell in row for one in (cell if tag_of(cell) == "form" else [cell])]
        own = [cell for cell in inside if tag_of(cell) in ("td", "th")]
        for cell in own:
            column = _fill_hanging(cells, hanging, column)
            content = text(cell)
            across, down = _span(cell, "colspan"), _span(cell, "rowspan")
            for offset in range(across):
                cells.append(content)
                if down > 1:
                    hanging[column + offset] = (down - 1, content)
            column += across
        for later in sorted(place for place in hanging if place >= column):
            cells += [""] * (later - len(cells))
            column = _fill_hanging(cells, hanging, later)
        rows.append(cells)
        headers.append(bool(own) and (_in_head(row) or all(tag_of(cell) == "th" for cell in own)))
    count = next((number for number, is_header in enumerate(headers) if not is_header), len(headers))
    return Grid(rows, count)


def is_layout(table: HtmlElement) -> bool:
    """Return whether a table only places things on a page: one that holds tables or headings, or says so."""
    if table.get("role") in ("presentation", "none"):
        return True
    return any(True for _ in table.iter("h1", "h2", "h3", "h4", "h5", "h6")) or sum(1 for _ in table.iter("table")) > 1


_PARTS = ("thead", "tbody", "tfoot", "tr", "form")
_IN_PARTS = (*_PARTS, "td", "th", "caption", "col", "colgroup", "")


def misplaced(part: HtmlElement) -> Iterator[HtmlElement | str]:
    """Yield the texts and elements that stand in a table, but in no cell of it."""
    yield f" {part.text or ''}"
    for child in part:
        if tag_of(child) in _PARTS:
            yield from misplaced(child)
        elif tag_of(child) not in _IN_PARTS:
            yield child
        yield child.tail or ""


def _rows(table: HtmlElement) -> Iterator[HtmlElement]:
    for child in table:
        if tag_of(child) == "tr":
            yield child
        elif tag_of(child) in ("thead", "tbody", "tfoot", "form"):
            yield from _rows(child)
        elif tag_of(child) in ("td", "th"):  # without a row around it
            yield table
            return


def _in_head(row: HtmlElement) -> bool:
    above = row.getparent()
    return above is not None and tag_of(above) == "thead"


def _fill_hanging(cells: list[str], hanging: dict[int, tuple[int, str]], column: int) -> int:
    """Add the cells that hang down from rows above into the next columns; return the first free column."""
    while column in hanging:
        left, content = hanging.pop(column)
        cells.append(content)
        if left > 1:
            hanging[column] = (left - 1, content)
        column += 1
    return column


def _span(cell: HtmlElement, name: str) -> int:
    written = (cell.get(name) or "1").strip()
    return min(max(int(written), 1), _MOST_SPANNED) if written.isdigit() else 1
