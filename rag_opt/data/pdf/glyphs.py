"""What PDFium finds on a page: characters with their places, ruled lines, shaded areas, pictures.

Coordinates are points. Text that was drawn sideways is turned upright: in every frame x grows along the line and y
from the last line up to the first.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pypdfium2

OBLIQUE = -1  # the frame of what was drawn at no right angle
_WIDE_GAP = 0.9  # of the height of a line: a wider one may lie between columns
_WORD_GAP = 0.16  # of the height of a line: a wider one parts words, although no space was drawn
_TINY = 1.5  # points: smaller text is not meant to be read
_WHITE = 250  # of 255, in each colour
_FAINT, _CLEAR = 190, 128  # of 255: lighter or clearer text may be a watermark
_MOST_PATHS = 4000  # a page with more of them is a drawing, not a table
_LIGATURES = range(0xFB00, 0xFB07)
_UNMAPPED = {0, 0xFFFE, 0xFFFF, 0xFFFD}


class Box(NamedTuple):
    """A rectangle on a page."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def width(self) -> float:
        """Width in points."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height in points."""
        return self.top - self.bottom

    def holds(self, x: float, y: float, *, margin: float = 0.0) -> bool:
        """Return whether a point lies in it."""
        return self.left - margin <= x <= self.right + margin and self.bottom - margin <= y <= self.top + margin


@dataclass(slots=True)
class Run:
    """Text on one line without a wide gap. `edges`: left and right end of each of its characters."""

    text: str
    box: Box
    size: float
    bold: bool = False
    faint: bool = False
    edges: list[tuple[float, float]] = field(default_factory=list)


@dataclass(slots=True)
class PageGlyphs:
    """Everything on one page. `runs` by frame: quarter turns, or OBLIQUE. `rules` and `shades` are of the page itself.

    `hidden`: text that nobody sees. `unmapped`: characters that their font gives no meaning. `picture`: share of the
    page that pictures cover, at most 1. `fields`: what stands in its form fields and free notes. `remarks`: comments.
    `objects`: how many things are drawn on it. `recognised`: whether its text was found in a picture.
    """

    number: int
    width: float
    height: float
    runs: dict[int, list[Run]]
    rules: list[Box]
    shades: list[Box]
    hidden: list[str]
    unmapped: int
    picture: float
    fields: list[str]
    remarks: int
    objects: int
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
                picture = page.render(scale=dpi / 72).to_numpy()
                read.runs = {0: runs_of_picture(recognise(picture), read.height, 72 / dpi)}
                read.recognised = True
            yield read
        finally:
            text_page.close()
            page.close()


def runs_of_picture(lines: list[tuple[str, Box]], height: float, points_per_dot: float) -> list[Run]:
    """Return recognised lines as runs on a page of a height in points."""
    runs = []
    for text, box in lines:
        left, top, right, bottom = (side * points_per_dot for side in (box.left, box.bottom, box.right, box.top))
        runs.append(Run(text, Box(left, height - bottom, right, height - top), round(bottom - top, 1)))
    return runs


class _PageReader:
    def __init__(self, page: pypdfium2.PdfPage, text_page: pypdfium2.PdfTextPage, number: int) -> None:
        from pypdfium2 import raw

        self._raw, self._page, self._text_page, self._number = raw, page, text_page, number
        self._runs: dict[int, list[Run]] = {}
        self._hidden: list[str] = []
        self._unmapped = 0
        self._styles: dict[int, _Style] = {}
        self._objects = 0

    def read(self) -> PageGlyphs:
        width, height = self._page.get_size()
        rules, shades, pictures = self._drawn()
        self._darkness = [*shades, *pictures]
        covered = sum(box.width * box.height for box in pictures) / max(width * height, 1.0)
        self._read_characters(scanned=covered > 0.5)
        fields, remarks = self._annotations()
        return PageGlyphs(
            self._number, width, height, self._runs, rules, shades, self._hidden, self._unmapped, min(covered, 1.0),
            fields, remarks, self._objects,
        )  # fmt: skip

    def _read_characters(self, *, scanned: bool) -> None:
        """Collect the characters as runs. `scanned`: unseen text is what was recognised in the picture."""
        raw, text_page = self._raw, self._text_page
        rect, open_, frame, high = raw.FS_RECTF(), _OpenRun(), 0, 0xD800
        for index in range(raw.FPDFText_CountChars(text_page)):
            code = raw.FPDFText_GetUnicode(text_page, index)
            if code in (10, 13):
                self._close(open_, frame)
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
            turned = _frame(raw.FPDFText_GetCharAngle(text_page, index))
            box = _turn(Box(rect.left, rect.bottom, rect.right, rect.top), turned)
            style = self._style(raw.FPDFText_GetTextObject(text_page, index))
            text = _letters(code)
            if not self._is_seen(style, box, rect, scanned=scanned):
                if not text.isspace():
                    self._hidden.append(text)
                continue
            if turned != frame or not open_.goes_on(text, box):
                self._close(open_, frame)
                frame = turned
            open_.add(text, box, style)
        self._close(open_, frame)

    def _close(self, open_: _OpenRun, frame: int) -> None:
        run = open_.finish()
        if run is not None:
            self._runs.setdefault(frame, []).append(run)

    def _is_seen(self, style: _Style, box: Box, place: ctypes.Structure, *, scanned: bool) -> bool:
        if 0 < box.height < _TINY:
            return False
        if not style.seen:
            return scanned
        if not style.white:
            return True
        x, y = (place.left + place.right) / 2, (place.bottom + place.top) / 2
        return any(area.holds(x, y) for area in self._darkness)

    def _style(self, drawn: ctypes._Pointer[ctypes.Structure]) -> _Style:
        """Return how a text object is drawn, looked up once for each."""
        raw = self._raw
        if not drawn:
            return _Style(True, False, False, False)
        address = ctypes.cast(drawn, ctypes.c_void_p).value or 0
        if address not in self._styles:
            colour = [ctypes.c_uint() for _ in range(4)]
            known = raw.FPDFPageObj_GetFillColor(drawn, *colour)
            red, green, blue, alpha = (one.value for one in colour) if known else (0, 0, 0, 255)
            mode = raw.FPDFTextObj_GetTextRenderMode(drawn)
            seen = mode not in (raw.FPDF_TEXTRENDERMODE_INVISIBLE, raw.FPDF_TEXTRENDERMODE_CLIP) and alpha > 0
            weight = raw.FPDFFont_GetWeight(raw.FPDFTextObj_GetFont(drawn))
            faint = alpha < _CLEAR or min(red, green, blue) > _FAINT
            white = min(red, green, blue) >= _WHITE
            self._styles[address] = _Style(bool(seen), white, weight >= 600, faint)
        return self._styles[address]

    def _drawn(self) -> tuple[list[Box], list[Box], list[Box]]:
        """Return ruled lines, areas that are filled with a colour, and pictures."""
        raw, rules, shades, pictures = self._raw, list[Box](), list[Box](), list[Box]()
        for count, drawn in enumerate(self._page.get_objects(max_depth=1)):
            self._objects = count + 1
            if drawn.type == raw.FPDF_PAGEOBJ_IMAGE:
                pictures.append(Box(*drawn.get_bounds()))
            elif drawn.type == raw.FPDF_PAGEOBJ_PATH and count < _MOST_PATHS:
                fill, stroke = ctypes.c_int(), ctypes.c_int()
                raw.FPDFPath_GetDrawMode(drawn.raw, fill, stroke)
                if not (fill.value or stroke.value):
                    continue
                box = Box(*drawn.get_bounds())
                rules += _rules_of(box, list(self._points(drawn.raw)) if stroke.value else [])
                if fill.value and box.width > 3 and box.height > 3 and not self._is_white(drawn.raw):
                    shades.append(box)
        return rules, shades, pictures

    def _is_white(self, drawn: ctypes._Pointer[ctypes.Structure]) -> bool:
        colour = [ctypes.c_uint() for _ in range(4)]
        known = self._raw.FPDFPageObj_GetFillColor(drawn, *colour)
        return not known or all(one.value >= _WHITE for one in colour[:3])

    def _points(self, path: ctypes._Pointer[ctypes.Structure]) -> Iterator[tuple[float, float, bool]]:
        """Yield the points of a path on the page, and whether a straight line leads to each."""
        raw, matrix = self._raw, self._raw.FS_MATRIX()
        raw.FPDFPageObj_GetMatrix(path, matrix)
        x, y = ctypes.c_float(), ctypes.c_float()
        for index in range(min(raw.FPDFPath_CountSegments(path), 200)):
            segment = raw.FPDFPath_GetPathSegment(path, index)
            raw.FPDFPathSegment_GetPoint(segment, x, y)
            straight = raw.FPDFPathSegment_GetType(segment) == raw.FPDF_SEGMENT_LINETO
            across = matrix.a * x.value + matrix.c * y.value + matrix.e
            yield across, matrix.b * x.value + matrix.d * y.value + matrix.f, straight

    def _annotations(self) -> tuple[list[str], int]:
        """Return what was filled into form fields and free notes, and the number of comments."""
        raw, fields, remarks = self._raw, list[str](), 0
        for index in range(raw.FPDFPage_GetAnnotCount(self._page)):
            annotation = raw.FPDFPage_GetAnnot(self._page, index)
            kind = raw.FPDFAnnot_GetSubtype(annotation)
            if kind == raw.FPDF_ANNOT_WIDGET:
                name, value = (self._string(annotation, key) for key in (b"T", b"V"))
                fields += [f"{name}: {value}" if name else value] if value else []
            elif kind == raw.FPDF_ANNOT_FREETEXT:
                fields += [text] if (text := self._string(annotation, b"Contents")) else []
            elif kind != raw.FPDF_ANNOT_LINK and self._string(annotation, b"Contents"):
                remarks += 1
            raw.FPDFPage_CloseAnnot(annotation)
        return fields, remarks

    def _string(self, annotation: ctypes._Pointer[ctypes.Structure], key: bytes) -> str:
        raw = self._raw
        length = raw.FPDFAnnot_GetStringValue(annotation, key, None, 0)
        buffer = ctypes.create_string_buffer(length)
        raw.FPDFAnnot_GetStringValue(annotation, key, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), length)
        return buffer.raw.decode("utf-16-le", "replace").rstrip("\0").strip()


class _OpenRun:
    """Characters of a run that may go on."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._edges: list[tuple[float, float]] = []
        self._boxes: list[Box] = []
        self._bold = self._faint = 0
        self._space = False

    def space(self) -> None:
        """Put a space before the next character, if there is one."""
        self._space = True

    def goes_on(self, text: str, box: Box) -> bool:
        """Return whether a character stands next on the line of those before it; to the left of them where it is
        written so.
        """
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
        self._text += text
        self._edges += [(box.left, box.right)] * len(text)
        self._boxes.append(box)
        self._bold += style.bold
        self._faint += style.faint

    def finish(self) -> Run | None:
        """Return the run, and begin anew; None where there is nothing but white space."""
        text, boxes, edges = "".join(self._text), self._boxes, self._edges
        bold, faint = 2 * self._bold > len(boxes), 2 * self._faint > len(boxes)
        self.__init__()  # type: ignore[misc]
        if not text.strip():
            return None
        box = Box(
            min(one.left for one in boxes), min(one.bottom for one in boxes),
            max(one.right for one in boxes), max(one.top for one in boxes),
        )  # fmt: skip
        (size, _), *_ = Counter(round(one.height, 1) for one in boxes).most_common(1)
        return Run(text, box, size, bold, faint, edges)


def _letters(code: int) -> str:
    if code == 2:  # the hyphen that divides a word at the end of a line
        return "-"
    letter = chr(code)
    return unicodedata.normalize("NFKC", letter) if code in _LIGATURES else letter


def is_right_to_left(text: str) -> bool:
    """Return whether the first character is a letter that is written from right to left."""
    return unicodedata.bidirectional(text[:1]) in ("R", "AL", "NSM")


def mirror(runs: list[Run]) -> list[Run]:
    """Return runs as in a mirror, so that a page which is written from right to left is laid out as others are."""
    return [
        replace(
            run,
            box=Box(-run.box.right, run.box.bottom, -run.box.left, run.box.top),
            edges=[(-right, -left) for left, right in run.edges],
        )
        for run in runs
    ]


def _frame(angle: float) -> int:
    """Return the quarter turns that make text upright; `angle` in radians, clockwise, as PDFium gives it."""
    degrees = math.degrees(angle) % 360
    quarter = round(degrees / 90)
    return quarter % 4 if abs(degrees - 90 * quarter) <= 3 else OBLIQUE


def _turn(box: Box, frame: int) -> Box:
    """Return a box of the page in the frame in which its text runs from left to right."""
    left, bottom, right, top = box
    if frame == 1:
        return Box(-top, left, -bottom, right)
    if frame == 2:
        return Box(-right, -top, -left, -bottom)
    if frame == 3:
        return Box(bottom, -right, top, -left)
    return box


def turn_all(boxes: list[Box], frame: int) -> list[Box]:
    """Return boxes of the page in another frame."""
    return [_turn(box, frame) for box in boxes]


def _rules_of(box: Box, points: list[tuple[float, float, bool]]) -> list[Box]:
    """Return the straight level and upright lines of a path."""
    if min(box.width, box.height) <= 2.5:
        return [box] if max(box.width, box.height) >= 6 else []
    rules = list[Box]()
    for (x0, y0, _), (x1, y1, straight) in itertools.pairwise(points):
        if straight:
            rules += _rule(x0, y0, x1, y1)
    return rules + (_rule(*points[-1][:2], *points[0][:2]) if len(points) >= 4 else [])


def _rule(x0: float, y0: float, x1: float, y1: float) -> list[Box]:
    box = Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    return [box] if min(box.width, box.height) <= 1.0 and max(box.width, box.height) >= 6 else []
