"""Scans, by recognising the text in their pictures."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.pdf.boxes import Box
from rag_opt.data.pdf.glyphs import Picture, Recognise
from rag_opt.data.pdf.reading import read_pdf, read_pictures


@register("reader", "ocr")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recognition:
    """Read PDFs as builtin does, pages without a text layer and pictures by recognising their text (rapidocr)."""

    dpi: Annotated[int, Ge(72), Le(600), Doc("Dots an inch at which pages without a text layer are looked at.")] = 150

    suffixes: ClassVar[tuple[str, ...]] = (".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
    libraries: ClassVar[tuple[str, ...]] = ("rapidocr", "pypdfium2", "onnxruntime")
    isolated: ClassVar[bool] = True

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text. Raises Unreadable where the file is broken or locked, or rapidocr is not installed."""
        recognise = _recogniser()
        if path.suffix.lower() == ".pdf":
            return read_pdf(path, recognise=recognise, dpi=self.dpi)
        from PIL import Image, ImageSequence

        try:
            with Image.open(path) as image:
                pictures = [np.asarray(page.convert("RGB")) for page in ImageSequence.Iterator(image)]
        except OSError as error:
            raise Unreadable(f"is no sound picture: {error}") from None
        return read_pictures(pictures, recognise, dpi=self.dpi)


@functools.cache
def _recogniser() -> Recognise:
    """Return what finds lines of text in a picture, its models loaded once in a process."""
    try:
        from rapidocr import RapidOCR
    except ImportError:
        raise Unreadable("rapidocr is not installed; the extra `ocr` of rag_opt has it") from None
    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    engine = RapidOCR(params={"Global.log_level": "error"})

    def recognise(picture: Picture) -> list[tuple[str, Box]]:
        found = engine(picture)
        if found.boxes is None:
            return []
        corners = np.asarray(found.boxes, float)
        sides = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        return [(str(text), Box(*side)) for text, side in zip(found.txts, sides.tolist(), strict=True)]

    return recognise
