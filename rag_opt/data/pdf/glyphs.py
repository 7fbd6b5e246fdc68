"""What PDFium finds on a page: characters, put together to runs, and what is drawn beside them."""

from __future__ import annotations

import ctypes
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag_opt.data.pdf.boxes import OBLIQUE, Box, Run, around
from rag_opt.data.pdf.drawn import WHITE, Drawn, fill_colour, read_annotations, read_drawn

if TYPE_CHECKING:
    import pypdfium2

    from rag_opt.data.pdf.drawn import Handle

_WIDE_GAP = 0.9  # of the height of a line: a wider one may lie between columns
_WORD_GAP = 0.16  # of the height of a line: a wider one parts words, although no space was drawn
_TINY = 1.5  # points: smaller text is not meant to be read
_FAINT, _CLEAR = 190, 128  # of 255: lighter or clearer text may be a watermark
_SMALL, _RAISED, _LARGER_AGAIN = 0.85, 0.15, 1.15  # of the height of a character: raised numbers
_LIGATURES = range(0xFB00, 0xFB07)
_NARROW, _WIDE = "il", "mMWen"  # equally wide only in fonts of typewriters; their flags do not always say it
_UNMAPPED = {0, 0xFFFE, 0xFFFF, 0xFFFD}


@dataclass(slots=True, kw_only=True)
class PageGlyphs:
    """Everything on one page.

    `runs` by frame: quarter turns, or OBLIQUE. `rules` are of the page itself. `hidden`: text that nobody sees.
    `unmapped`: characters that their font gives no meaning. `picture`: share of the page that pictures cover, at most
    1. `fields`: what stands in its form fields and free notes. `remarks`: comments. `objects`: how many things are
    drawn on it. `recognised`: whether its text was found in a picture.
    """

    number: int
    runs: dict[int, list[Run]]
    rules: Sequence[Box] = ()
    hidden: str = ""
    unmapped: int = 0
    picture: float = 0.0
    fields: Sequence[str] = ()
    remarks: int = 0
    objects: int = 0
    recognised: bool = False

    @property
    def characters(self) -> int:
        """Number of characters that can be seen."""
        return sum(len(run.text) for runs in self.runs.values() for run in runs)


class _Style(NamedTuple):
    seen: bool
    white: bool
    bold: bool
    faint: bool
    fixed: bool  # every character as wide as the others


Picture = NDArray[np.uint8]  # [height, width, colours], as a page is rendered
Recognise = Callable[[Picture], list[tuple[str, Box]]]  # lines of text with their boxes, in dots from the upper left


def read_pages(
    document: pypdfium2.PdfDocument, *, recognise: Recognise | None = None, dpi: int = 150
) -> Iterator[PageGlyphs]:
    """Yield every page of a document, read.

    `recognise`: finds the lines of text in a picture; it is shown pages without a text layer, at `dpi` dots an inch.
    """
    for number in range(len(document)):
        page = document[number]
        text_page = page.get_textpage()
        try:
            read = _PageReader(page, text_page, number + 1).read()
            if recognise is not None and not read.characters and read.objects:
                read = read_picture(page.render(scale=dpi / 72).to_numpy(), recognise, number=number + 1, dpi=dpi)
            yield read
        finally:
            text_page.close()
            page.close()


def read_picture(picture: Picture, recognise: Recognise, *, number: int, dpi: int) -> PageGlyphs:
    """Return the lines that are recognised in the picture of a page, as its runs."""
    points, runs = 72 / dpi, list[Run]()
    for text, box in recognise(picture):
        left, top, right, bottom = (side * points for side in (box.left, box.bottom, box.right, box.top))
        height = picture.shape[0] * points
        runs.append(Run(text, Box(left, height - bottom, right, height - top), round(bottom - top, 1)))
    return PageGlyphs(number=number, runs={0: runs}, picture=1.0, objects=1, recognised=True)


class _PageReader:
    def __init__(self, page: pypdfium2.PdfPage, text_page: pypdfium2.PdfTextPage, number: int) -> None:
        from pypdfium2 import raw

        self._raw, self._page, self._text_page, self._number = raw, page, text_page, number
        self._runs: dict[int, list[Run]] = {}
        self._hidden: list[str] = []
        self._unmapped = 0
        self._styles: dict[int, _Style] = {}
        self._fixed: dict[int, bool] = {}  # by font: a page draws hundreds of texts in few of them

    def read(self) -> PageGlyphs:
        width, height = self._page.get_size()
        drawn = read_drawn(self._page, self._raw)
        covered = sum(box.width * box.height for box in drawn.pictures) / max(width * height, 1.0)
        self._read_characters(drawn, scanned=covered > 0.5)
        fields, remarks = read_annotations(self._page, self._raw)
        return PageGlyphs(
            number=self._number,
            runs=self._runs,
            rules=drawn.rules,
            hidden="".join(self._hidden),
            unmapped=self._unmapped,
            picture=min(covered, 1.0),
            fields=fields,
            remarks=remarks,
            objects=drawn.objects,
        )

    def _read_characters(self, drawn: Drawn, *, scanned: bool) -> None:
        """Collect the characters as runs. `scanned`: unseen text is what was recognised in the picture."""
        raw, text_page, dark = self._raw, self._text_page, [*drawn.shades, *drawn.pictures]
        rect, open_, frame, high = raw.FS_RECTF(), _OpenRun(), 0, 0xD800
        for index in range(raw.FPDFText_CountChars(text_page)):
            code = raw.FPDFText_GetUnicode(text_page, index)
            if code in (10, 13):
                open_ = self._closed(open_, frame)
                continue
            if code == 32 or raw.FPDFText_IsGenerated(text_page, index):
                open_.space()  # a space has no place of its own that one could rely on
                continue
            if 0xD800 <= code < 0xDC00:
                high = code
                continue
            if 0xDC00 <= code < 0xE000:
                code = 0x10000 + (high - 0xD800) * 0x400 + code - 0xDC00
            if code in _UNMAPPED:
                self._unmapped += 1
                continue
            raw.FPDFText_GetLooseCharBox(text_page, index, rect)
            place, text = Box(rect.left, rect.bottom, rect.right, rect.top), _letters(code)
            style = self._style(raw.FPDFText_GetTextObject(text_page, index))
            if not _is_seen(style, place, dark, scanned=scanned):
                self._hidden.append(text)
                continue
            turned = _frame(raw.FPDFText_GetCharAngle(text_page, index))
            box = place.turned(turned)
            if turned != frame or not open_.goes_on(text, box):
                open_, frame = self._closed(open_, frame), turned
            open_.add(text, box, style)
        self._closed(open_, frame)

    def _closed(self, run: _OpenRun, frame: int) -> _OpenRun:
        """Keep a run that has text, and return one that is empty."""
        finished = run.finish()
        if finished is not None:
            self._runs.setdefault(frame, []).append(finished)
        return _OpenRun()

    def _style(self, drawn: Handle) -> _Style:
        """Return how a text object is drawn, looked up once for each."""
        raw = self._raw
        if not drawn:
            return _Style(True, False, False, False, False)
        address = ctypes.cast(drawn, ctypes.c_void_p).value or 0
        if address not in self._styles:
            *colours, alpha = fill_colour(drawn, raw, otherwise=(0, 0, 0, 255))
            mode = raw.FPDFTextObj_GetTextRenderMode(drawn)
            seen = mode not in (raw.FPDF_TEXTRENDERMODE_INVISIBLE, raw.FPDF_TEXTRENDERMODE_CLIP) and alpha > 0
            font = raw.FPDFTextObj_GetFont(drawn)
            weight = raw.FPDFFont_GetWeight(font)
            faint = alpha < _CLEAR or min(colours) > _FAINT
            white = min(colours) >= WHITE
            self._styles[address] = _Style(bool(seen), white, weight >= 600, faint, self._is_fixed(font))
        return self._styles[address]

    def _is_fixed(self, font: Handle) -> bool:
        """Return whether narrow and wide letters of a font are equally wide, asked once; it may not hold them all."""
        address = ctypes.cast(font, ctypes.c_void_p).value or 0
        if address not in self._fixed:
            self._fixed[address] = self._measure_fixed(font)
        return self._fixed[address]

    def _measure_fixed(self, font: Handle) -> bool:
        width, widths = ctypes.c_float(), list[set[float]]()
        for letters in (_NARROW, _WIDE):
            known = set[float]()
            for letter in letters:
                if self._raw.FPDFFont_GetGlyphWidth(font, ord(letter), 100.0, width) and width.value:
                    known.add(round(width.value, 1))
            widths.append(known)
        return widths[0] == widths[1] and len(widths[0]) == 1


class _OpenRun:
    """Characters of a run that may go on."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._edges: list[tuple[float, float]] = []
        self._boxes: list[Box] = []
        self._bold = self._faint = self._fixed = 0
        self._space = self._raised = False

    def space(self) -> None:
        """Put a space before the next character, if there is one."""
        self._space = True

    def goes_on(self, text: str, box: Box) -> bool:
        """Return whether a character stands next on the line of those before it, on the side where it is written."""
        if not self._boxes or box == self._boxes[-1]:  # letters of one ligature have one place
            return True
        last, height = self._boxes[-1], max(box.height, self._boxes[-1].height, 1.0)
        overlap = min(last.top, box.top) - max(last.bottom, box.bottom)
        gap = last.left - box.right if is_right_to_left(text) else box.left - last.right
        return -0.5 * height <= gap <= _WIDE_GAP * height and overlap > 0.4 * min(last.height, box.height)

    def add(self, text: str, box: Box, style: _Style) -> None:
        """Add a character."""
        wide = self._boxes and not is_right_to_left(text) and box.left - self._boxes[-1].right > _WORD_GAP * box.height
        if (self._space or wide) and self._boxes:
            self._text.append(" ")
            self._edges.append((min(self._boxes[-1].right, box.left), max(self._boxes[-1].right, box.left)))
        self._space = False
        if self._begins_power(text, box):
            self._text.append("^")
            self._edges.append((self._boxes[-1].right, max(self._boxes[-1].right, box.left)))
        self._text += text
        self._edges += [(box.left, box.right)] * len(text)
        self._boxes.append(box)
        self._bold += style.bold
        self._faint += style.faint
        self._fixed += style.fixed

    def _begins_power(self, text: str, box: Box) -> bool:
        """Return whether a small raised number begins, which would be taken for a part of what stands before it."""
        last = self._boxes[-1] if self._boxes else box
        if self._raised:  # it goes on as long as nothing larger comes
            self._raised = box.height < _LARGER_AGAIN * last.height and box.bottom > last.bottom - 0.1 * last.height
            return False
        small = box.height <= _SMALL * last.height and box.bottom - last.bottom > _RAISED * last.height
        self._raised = small
        return small and (text.isdigit() or text in "+−–-") and (self._text[-1].isalnum() or self._text[-1] == ")")

    def finish(self) -> Run | None:
        """Return the run; None where there is nothing but white space."""
        text, boxes = "".join(self._text), self._boxes
        if not text.strip():
            return None
        (size, _), *_ = Counter(round(one.height, 1) for one in boxes).most_common(1)
        bold, faint = 2 * self._bold > len(boxes), 2 * self._faint > len(boxes)
        return Run(text, around(boxes), size, bold, faint, self._edges, fixed=self._fixed == len(boxes))


def _is_seen(style: _Style, place: Box, dark: Sequence[Box], *, scanned: bool) -> bool:
    """Return whether a person sees a character. `dark`: areas on which white can be seen."""
    if min(place.width, place.height) > 0 and max(place.width, place.height) < _TINY:
        return False
    if not style.seen:
        return scanned
    x, y = (place.left + place.right) / 2, (place.bottom + place.top) / 2
    return not style.white or any(area.holds(x, y) for area in dark)


def _letters(code: int) -> str:
    if code == 2:  # the hyphen that divides a word at the end of a line
        return "-"
    letter = chr(code)
    return unicodedata.normalize("NFKC", letter) if code in _LIGATURES else letter


def is_right_to_left(text: str) -> bool:
    """Return whether the first character is a letter that is written from right to left."""
    return unicodedata.bidirectional(text[:1]) in ("R", "AL", "NSM")


def _frame(angle: float) -> int:
    """Return the quarter turns that make text upright; `angle` in radians, clockwise, as PDFium gives it."""
    degrees = math.degrees(angle) % 360
    quarter = round(degrees / 90)
    return quarter % 4 if abs(degrees - 90 * quarter) <= 3 else OBLIQUE
