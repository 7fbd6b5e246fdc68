"""What is drawn on a page beside its text: ruled lines, shaded areas, pictures; and what stands in its form fields."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from rag_opt.data.pdf.boxes import Box

if TYPE_CHECKING:
    from types import ModuleType

    import pypdfium2

    Handle = ctypes._Pointer[ctypes.Structure]  # of a thing inside PDFium

Colour = tuple[int, int, int, int]  # red, green, blue, alpha, each of 255

WHITE = 250  # of 255, in each colour
_PATTERN: Colour = (0, 0, 0, 255)  # what is filled with a gradient or a picture has no colour of its own
_MOST_PATHS = 4000  # a page with more of them is a drawing, not a table
_MOST_SEGMENTS = 200  # of a path: more are no lines of a table


class Drawn(NamedTuple):
    """Ruled lines, areas that are filled with a colour, pictures, and how many things there are at all."""

    rules: list[Box]
    shades: list[Box]
    pictures: list[Box]
    objects: int


def read_drawn(page: pypdfium2.PdfPage, raw: ModuleType) -> Drawn:
    """Return what is drawn on a page. `raw`: PDFium's functions."""
    rules, shades, pictures, count = list[Box](), list[Box](), list[Box](), 0
    for count, drawn in enumerate(page.get_objects(max_depth=1), start=1):
        if drawn.type == raw.FPDF_PAGEOBJ_IMAGE:
            pictures.append(Box(*drawn.get_bounds()))
        elif drawn.type == raw.FPDF_PAGEOBJ_SHADING or (
            drawn.type == raw.FPDF_PAGEOBJ_FORM and _holds_areas(drawn, raw)
        ):
            shades.append(Box(*drawn.get_bounds()))
        elif drawn.type == raw.FPDF_PAGEOBJ_PATH and count <= _MOST_PATHS:
            fill, stroke = ctypes.c_int(), ctypes.c_int()
            raw.FPDFPath_GetDrawMode(drawn.raw, fill, stroke)
            if not (fill.value or stroke.value):
                continue
            box = Box(*drawn.get_bounds())
            rules += _rules_of(box, list(_points(drawn.raw, raw)) if stroke.value else [])
            if (
                fill.value
                and box.width > 3
                and box.height > 3
                and min(fill_colour(drawn.raw, raw, otherwise=_PATTERN)[:3]) < WHITE
            ):
                shades.append(box)
    return Drawn(rules, shades, pictures, count)


def _holds_areas(form: pypdfium2.PdfObject, raw: ModuleType) -> bool:
    """Return whether a form, whose places are its own, holds areas of a colour, gradients or pictures."""
    for index in range(min(raw.FPDFFormObj_CountObjects(form.raw), _MOST_PATHS)):
        inside = raw.FPDFFormObj_GetObject(form.raw, index)
        kind = raw.FPDFPageObj_GetType(inside)
        if kind in (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_SHADING, raw.FPDF_PAGEOBJ_FORM):
            return True
        fill, stroke = ctypes.c_int(), ctypes.c_int()
        filled = kind == raw.FPDF_PAGEOBJ_PATH and raw.FPDFPath_GetDrawMode(inside, fill, stroke) and fill.value
        if filled and min(fill_colour(inside, raw, otherwise=_PATTERN)[:3]) < WHITE:
            return True
    return False


def fill_colour(drawn: Handle, raw: ModuleType, *, otherwise: Colour = (255, 255, 255, 255)) -> Colour:
    """Return the colour that a thing is filled with; `otherwise` where PDFium does not know it."""
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    known = raw.FPDFPageObj_GetFillColor(drawn, red, green, blue, alpha)
    return (red.value, green.value, blue.value, alpha.value) if known else otherwise


def _points(path: Handle, raw: ModuleType) -> Iterator[tuple[float, float, bool]]:
    """Yield the points of a path on the page, and whether a straight line leads to each."""
    matrix = raw.FS_MATRIX()
    raw.FPDFPageObj_GetMatrix(path, matrix)
    x, y = ctypes.c_float(), ctypes.c_float()
    for index in range(min(raw.FPDFPath_CountSegments(path), _MOST_SEGMENTS)):
        segment = raw.FPDFPath_GetPathSegment(path, index)
        raw.FPDFPathSegment_GetPoint(segment, x, y)
        straight = raw.FPDFPathSegment_GetType(segment) == raw.FPDF_SEGMENT_LINETO
        across = matrix.a * x.value + matrix.c * y.value + matrix.e
        yield across, matrix.b * x.value + matrix.d * y.value + matrix.f, straight


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


def read_annotations(page: pypdfium2.PdfPage, raw: ModuleType) -> tuple[list[str], int]:
    """Return what was filled into form fields and free notes, and the number of comments."""
    fields, remarks = list[str](), 0
    for index in range(raw.FPDFPage_GetAnnotCount(page)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        kind = raw.FPDFAnnot_GetSubtype(annotation)
        if kind == raw.FPDF_ANNOT_WIDGET:
            name, value = (_string(annotation, key, raw) for key in (b"T", b"V"))
            fields += [f"{name}: {value}" if name else value] if value else []
        elif kind == raw.FPDF_ANNOT_FREETEXT:
            fields += [text] if (text := _string(annotation, b"Contents", raw)) else []
        elif kind != raw.FPDF_ANNOT_LINK and _string(annotation, b"Contents", raw):
            remarks += 1
        raw.FPDFPage_CloseAnnot(annotation)
    return fields, remarks


def _string(annotation: Handle, key: bytes, raw: ModuleType) -> str:
    length = raw.FPDFAnnot_GetStringValue(annotation, key, None, 0)
    buffer = ctypes.create_string_buffer(length)
    raw.FPDFAnnot_GetStringValue(annotation, key, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), length)
    return buffer.raw.decode("utf-16-le", "replace").rstrip("\0").strip()
