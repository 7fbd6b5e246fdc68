"""Paragraphs of a page: lines joined where a sentence wraps, kept apart where its writer ended them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rag_opt.core.documents import BlockKind
from rag_opt.data.pdf.columns import Segment
from rag_opt.data.pdf.listings import split_listings, typed_lines
from rag_opt.data.pdf.rows import Row
from rag_opt.data.pdf.words import BULLETS, HYPHENS, ITEM, Words

_LARGER, _SMALLER = 1.13, 0.9  # of the size of most text: headings, footnotes
_OTHER_SIZE = 0.12  # of a size, by which lines of one paragraph may differ
_WIDER = 1.3  # of the usual distance of lines: more parts paragraphs
_FEW_ROWS, _WIDER_OF_FEW = 4, 1.8  # heights of a line, where too few lines tell what is usual
_GOES_ON = 0.6  # of the column's width: an unfinished sentence on a line as long goes on below
_SHORT = 0.75  # of the column's width: a line that ends before it, with a full stop, ends its paragraph
_MOST_HEADING_CHARACTERS, _MOST_HEADING_ROWS, _MOST_BOLD_CHARACTERS = 200, 3, 120
_CAPTION = re.compile(
    r"^(?:table|tab\.|figure|fig\.|tabelle|abbildung|abb\.|tableau|figura|tabla|tabella|рис\.|таблица|表|图|図)\s*\d",
    re.IGNORECASE,
)
_FOOTNOTE = re.compile(r"^(?:\[?\d{1,3}[\].)]?|[*†‡§¶]+)\s*(?=[^\W\d_])")
_ENDS = '.!?:;。！？…”"»)'


@dataclass(slots=True)
class Paragraph:
    """A piece of a page. `full`: its last line reaches the edge, so that it may go on elsewhere. `cells` of a table."""

    text: str
    kind: BlockKind
    size: float
    bold: bool
    rows: int
    full: bool = False
    label: str = ""
    cells: list[list[str]] | None = None
    level: int = 0

    def takes(self, other: Paragraph) -> bool:
        """Return whether another paragraph, on the next column or page, is the rest of this one."""
        same = self.kind in ("paragraph", "list item") and other.kind == "paragraph" and not other.cells
        if not same or abs(self.size - other.size) > _OTHER_SIZE * self.size or self.bold != other.bold:
            return False
        begins = other.text[:1]
        divided = self.text[-1:] in HYPHENS and begins.islower()
        unfinished = self.full and self.text[-1:] not in _ENDS
        return divided or (unfinished and (begins.islower() or begins.isdigit() or self.text[-1:] in ",;–"))


class Style(NamedTuple):
    """How most text of a document is set: its size, whether it is bold, whether its characters are equally wide."""

    size: float
    bold: bool = False
    fixed: bool = False


def to_paragraphs(segments: Sequence[Segment], words: Words, body: Style) -> list[Paragraph]:
    """Return the paragraphs of segments that are read one after the other, and behind them their footnotes."""
    paragraphs, footnotes = list[Paragraph](), list[Paragraph]()
    for segment in segments:
        if segment.cells is not None:
            paragraphs.append(_table(segment.cells, segment.rows[0].size))
            continue
        stretches = [(False, segment.rows)] if body.fixed else split_listings(segment.rows)
        column = _Column.of([row for is_listing, rows in stretches if not is_listing for row in rows])
        found = list[Paragraph]()
        for is_listing, rows in stretches:
            found += [_listing(rows)] if is_listing else _of_rows(rows, words, column)
        mark_footnotes(found, body.size)
        footnotes += [one for one in found if one.kind == "footnote"]
        for paragraph in (one for one in found if one.kind != "footnote"):
            if paragraphs and paragraphs[-1].takes(paragraph):
                last = paragraphs[-1]
                last.text, last.full = words.join(last.text, paragraph.text), paragraph.full
                last.rows += paragraph.rows
            else:
                paragraphs.append(paragraph)
    return paragraphs + footnotes


def _table(cells: list[list[str]], size: float) -> Paragraph:
    return Paragraph("", "table", size, bold=False, rows=len(cells), cells=cells)


def _listing(rows: Sequence[Row]) -> Paragraph:
    return Paragraph(typed_lines(rows), "code", rows[0].size, bold=False, rows=len(rows))


class _Column(NamedTuple):
    """Where the lines of a column begin and end, and how far apart they are; `usual`: None where too few tell."""

    left: float
    right: float
    usual: float | None

    @staticmethod
    def of(rows: Sequence[Row]) -> _Column:
        """Return the measures of rows."""
        left = min((row.box.left for row in rows), default=0.0)
        return _Column(left, _right_edge([row for row in rows if row.table is None]), _usual_distance(rows))


def _of_rows(rows: Sequence[Row], words: Words, column: _Column) -> list[Paragraph]:
    paragraphs: list[Paragraph] = []
    left, right, _ = column
    above: Row | None = None
    for row in rows:
        if row.table is not None:
            paragraphs.append(_table(row.table, row.size))
        elif above is None or above.table is not None or _begins(row, above, paragraphs[-1], column):
            paragraphs.append(_new(row))
        else:
            last = paragraphs[-1]
            wraps = _wraps(above, row, right) or _goes_on(above, row, column)
            last.text = words.join(last.text, row.text) if wraps else f"{last.text}\n{row.text}"
            last.rows += 1
        if row.table is None:
            paragraphs[-1].full = right - row.box.right <= 0.12 * (right - left)
        above = row
    return paragraphs


def _right_edge(rows: Sequence[Row]) -> float:
    """Return where the lines of a column end as a rule: a few may stick out."""
    if not rows:
        return 0.0
    widest = max(row.box.width for row in rows)
    ends = sorted(row.box.right for row in rows if row.box.width >= 0.6 * widest)
    return ends[int(0.9 * (len(ends) - 1))] if len(ends) >= 10 else ends[-1]


def _usual_distance(rows: Sequence[Row]) -> float | None:
    """Return how far the tops of neighbouring lines are apart as a rule; None where too few lines tell."""
    distances = sorted(
        one.box.top - other.box.top for one, other in itertools.pairwise(rows) if one.box.top > other.box.top
    )
    return distances[len(distances) // 2] if len(distances) >= _FEW_ROWS else None


def _new(row: Row) -> Paragraph:
    item, text = ITEM.match(row.text), row.text
    kind: BlockKind = "list item" if item else "caption" if _CAPTION.match(text) else "paragraph"
    return Paragraph(text, kind, row.size, row.bold, 1, label=item[1] if item else "")


def _begins(row: Row, above: Row, open_: Paragraph, column: _Column) -> bool:
    """Return whether a line begins a new paragraph."""
    left, right, usual = column
    if abs(row.size - open_.size) > _OTHER_SIZE * open_.size or row.bold != above.bold:
        return True
    distance = above.box.top - row.box.top
    if distance > (_WIDER * usual if usual is not None else _WIDER_OF_FEW * row.box.height):
        return True
    item = ITEM.match(row.text)
    if item and (_is_alike(item[1], open_) or not _wraps(above, row, right)):
        return True
    ended = above.text[-1:] in _ENDS
    indented = row.box.left - left >= 0.8 * row.size and row.box.left - above.box.left >= 0.8 * row.size
    if indented and open_.kind == "paragraph" and (ended or not _wraps(above, row, right)):
        return True
    return ended and above.box.right < left + _SHORT * (right - left)


def _is_alike(mark: str, open_: Paragraph) -> bool:
    """Return whether a mark is a bullet, or numbers an item as the open one is numbered: it begins no other line."""
    if mark in BULLETS[:-4]:
        return True
    return (
        open_.kind == "list item" and mark[-1:] == open_.label[-1:] and mark[:1].isdigit() == open_.label[:1].isdigit()
    )


def _wraps(above: Row, row: Row, right: float) -> bool:
    """Return whether a line had no room for the first word of the next one."""
    if not row.runs or not above.runs:
        return False
    if above.text[-1:] in HYPHENS and row.text[:1].islower():
        return True
    first, run = row.text.split()[0], row.runs[0]
    width = len(first) * run.box.width / max(len(run.text), 1)
    return above.box.right + 0.9 * width + 0.2 * row.size >= right


def _goes_on(above: Row, row: Row, column: _Column) -> bool:
    """Return whether a sentence goes on in the next line, although that line's first word would have had room."""
    left, right, _ = column
    long = above.box.right >= left + _GOES_ON * (right - left)
    return long and above.text[-1:] not in _ENDS and row.text[:1].islower()


def mark_headings(pages: Sequence[Sequence[Paragraph]], body: Style) -> None:
    """Say of all pages which paragraphs are headings, and of which level: the largest are of the first."""
    found, every = list[Paragraph](), [one for page in pages for one in page]
    running = _sizes_of_running_text(every)
    for paragraph in every:
        if paragraph.kind not in ("paragraph", "list item") or not any(c.isalpha() for c in paragraph.text):
            continue
        large = paragraph.size >= _LARGER * body.size and paragraph.size not in running
        bold = paragraph.bold and not body.bold and len(paragraph.text) <= _MOST_BOLD_CHARACTERS
        if large or (bold and paragraph.size >= 0.95 * body.size and paragraph.text[-1:] not in f".:;,{HYPHENS}"):
            found += [paragraph] if _is_short(paragraph) else []
    sizes = sorted({round(one.size * 2) / 2 for one in found}, reverse=True)
    for paragraph in found:
        paragraph.kind, paragraph.label = "heading", ""
        paragraph.level = min(sizes.index(round(paragraph.size * 2) / 2) + 1, 6)
        paragraph.text = " ".join(paragraph.text.split())


def _is_short(paragraph: Paragraph) -> bool:
    return len(paragraph.text) <= _MOST_HEADING_CHARACTERS and paragraph.rows <= _MOST_HEADING_ROWS


def _sizes_of_running_text(paragraphs: Sequence[Paragraph]) -> set[float]:
    """Return the sizes in which much stands that is too long for a heading."""
    all_, long = Counter[float](), Counter[float]()
    for paragraph in paragraphs:
        all_[paragraph.size] += len(paragraph.text)
        long[paragraph.size] += 0 if _is_short(paragraph) else len(paragraph.text)
    return {size for size, characters in long.items() if characters > 0.3 * all_[size]}


def mark_footnotes(paragraphs: Sequence[Paragraph], body: float) -> None:
    """Say which paragraphs at the end of a column are footnotes: small ones, from the first that begins with a mark."""
    small = list[Paragraph]()
    for paragraph in reversed(paragraphs):
        if paragraph.cells or paragraph.kind == "code" or paragraph.size > _SMALLER * body:
            break
        small.append(paragraph)
    notes = small[::-1]
    first = next((number for number, one in enumerate(notes) if _FOOTNOTE.match(one.text)), len(notes))
    for paragraph in notes[first:]:
        paragraph.kind = "footnote"


def without_bullet(paragraph: Paragraph) -> str:
    """Return the text of a list item without its mark."""
    return paragraph.text[len(paragraph.label) :].lstrip()


def is_bullet(label: str) -> bool:
    """Return whether the mark of a list item says no more than that it is one."""
    return label in BULLETS
