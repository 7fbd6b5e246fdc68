"""Rows of a page: what stands at one height. Lines of columns are found in them, and what runs along the pages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rag_opt.data.pdf.boxes import Box, Run, around

_GAP_OF_WORDS = 0.12  # of the height of a line
_SAME_ROW = 0.5  # of the lower of two heights that has to overlap
_EDGE_ROWS, _SHARE_OF_ROWS = 3, 4  # at each edge: so many, and no more than one of so many of a page's rows
_MIN_REPEATS, _SHARE_OF_PAGES = 3, 1 / 3
_NUMBER = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(r"\d{1,4}")
_MOST_PAGES_BEFORE = 2000  # a larger number is no number of a page
# "page" as page feet of many languages write it
_PAGE_WORDS = frozenset((
    "page", "pages", "p", "pp", "pg", "seite", "seiten", "s", "página", "páginas", "pagina", "pagine", "pág", "blad",
    "bladzijde", "sida", "sidan", "side", "strona", "str", "strana", "stránka", "oldal", "sivu", "страница", "стр", "с",
    "sayfa", "trang", "halaman", "σελίδα", "σελ", "עמוד", "صفحة", "of", "von", "de", "di", "du", "van", "av", "af", "z",
    "iz", "из", "su", "sur", "fra", "til", "dari",
))  # fmt: skip
_PAGE_MARKS = re.compile(r"[第页頁ページ쪽页共]")


@dataclass(slots=True)
class Row:
    """Runs at one height, from left to right. `table`: cells of a ruled table that stands there instead of runs."""

    runs: list[Run]
    box: Box
    table: list[list[str]] | None = None

    @property
    def text(self) -> str:
        """The text of its runs."""
        return join_runs(self.runs)

    @property
    def size(self) -> float:
        """Height of most of its characters, in points."""
        sizes = Counter[float]()
        for run in self.runs:
            sizes[run.size] += len(run.text)
        return sizes.most_common(1)[0][0] if sizes else self.box.height

    @property
    def bold(self) -> bool:
        """Whether most of it is bold."""
        return 2 * sum(len(run.text) for run in self.runs if run.bold) > sum(len(run.text) for run in self.runs)

    @property
    def fixed(self) -> bool:
        """Whether all of it is of a font whose characters are equally wide."""
        return bool(self.runs) and all(run.fixed for run in self.runs)


def join_runs(runs: Sequence[Run]) -> str:
    """Return the text of runs of one line, a space where there is a gap between them."""
    text, right = "", 0.0
    for run in runs:
        apart = text and run.box.left - right > _GAP_OF_WORDS * run.size
        text, right = f"{text}{' ' if apart else ''}{run.text.strip()}", run.box.right
    return text


def to_rows(runs: Iterable[Run]) -> list[Row]:
    """Return runs as rows, the highest first."""
    rows: list[list[Run]] = []
    for run in sorted(runs, key=lambda one: (-(one.box.top + one.box.bottom), one.box.left)):
        home = next((row for row in reversed(rows[-3:]) if _at_one_height(row[0].box, run.box)), None)
        if home is None:
            rows.append([run])
        else:
            home.append(run)
    return [Row(sorted(row, key=lambda one: one.box.left), around(run.box for run in row)) for row in rows]


def _at_one_height(one: Box, other: Box) -> bool:
    overlap = min(one.top, other.top) - max(one.bottom, other.bottom)
    return overlap >= _SAME_ROW * min(one.height, other.height)


def find_running_rows(pages: Sequence[Sequence[Row]]) -> list[set[int]]:
    """Return by page the positions of the rows that run along the pages' heads and feet.

    Those are rows at the edge of a page that stand at the edge of many pages word for word, or that count the pages: a
    number alone, with a word for "page", or set apart from words that are the same on these pages.
    A row further inside is one only if all that stand nearer to the edge are, and at each edge at most a quarter of a
    page's rows: pages of few rows, as certificates, are alike in more than their heads.
    """
    least = max(_MIN_REPEATS, len(pages) * _SHARE_OF_PAGES)
    running = [set[int]() for _ in pages]
    for edge in (0, -1):
        found = _repeated(pages, edge, least) | _counting(pages, edge)
        for number, rows in enumerate(pages):
            for depth in range(min(_EDGE_ROWS, max(len(rows) // _SHARE_OF_ROWS, 1))):
                if (number, depth) not in found:
                    break
                running[number].add(_position(rows, edge, depth))
    return running


def _position(rows: Sequence[Row], edge: int, depth: int) -> int:
    return depth if edge == 0 else len(rows) - 1 - depth


def _edge_rows(pages: Sequence[Sequence[Row]], edge: int) -> Iterator[tuple[int, int, Row]]:
    """Yield page, depth and row of what stands at one edge of each page."""
    for number, rows in enumerate(pages):
        for depth in range(min(_EDGE_ROWS, len(rows))):
            row = rows[_position(rows, edge, depth)]
            if row.table is None:
                yield number, depth, row


def _repeated(pages: Sequence[Sequence[Row]], edge: int, least: float) -> set[tuple[int, int]]:
    """Return (page, depth) of rows that stand word for word at the edge of many pages."""
    places = defaultdict[str, dict[int, int]](dict)
    for number, depth, row in _edge_rows(pages, edge):
        places[" ".join(row.text.split())].setdefault(number, depth)
    return {place for on in places.values() if len(on) >= least for place in on.items()}


def _counting(pages: Sequence[Sequence[Row]], edge: int) -> set[tuple[int, int]]:
    """Return (page, depth) of rows that differ in one number alone, which grows as the pages do.

    A few pages are enough: every chapter may have its own head.
    """
    places = defaultdict[tuple[str, int, int], dict[int, int]](dict)
    for number, depth, row in _edge_rows(pages, edge):
        for rest, position, counted in _page_numbers(row):
            if counted - number < _MOST_PAGES_BEFORE:
                places[rest, position, counted - number].setdefault(number, depth)
    few = min(_MIN_REPEATS, len(pages))
    return {place for on in places.values() if len(on) >= few for place in on.items()}


def _page_numbers(row: Row) -> Iterator[tuple[str, int, int]]:
    """Yield what a row says beside a number that may be the page's, where the number stands, and the number."""
    for position in {0, len(row.runs) - 1} if len(row.runs) > 1 else ():
        text = row.runs[position].text.strip()
        if _PAGE_NUMBER.fullmatch(text):
            yield " ".join(run.text.strip() for run in row.runs if run is not row.runs[position]), position, int(text)
    text = " ".join(row.text.split())
    for position, match in enumerate(_NUMBER.finditer(text)):
        rest = f"{text[: match.start()]}#{text[match.end() :]}"
        if _PAGE_NUMBER.fullmatch(match[0]) and _is_page_word(rest):
            yield rest, position, int(match[0])


def _is_page_word(text: str) -> bool:
    """Return whether all words of a line only say that its number is that of a page."""
    words = re.findall(r"[^\W\d_]+", _PAGE_MARKS.sub(" ", text.casefold()))
    return all(word in _PAGE_WORDS for word in words)
