"""A PDF as a reading: pages in order, what runs along them left out, sentences whole where a page breaks them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.data.pdf.boxes import OBLIQUE, Run, mirror
from rag_opt.data.pdf.columns import find_segments
from rag_opt.data.pdf.glyphs import PageGlyphs, Picture, Recognise, is_right_to_left, read_pages, read_picture
from rag_opt.data.pdf.paragraphs import Paragraph, Style, is_bullet, mark_headings, to_paragraphs, without_bullet
from rag_opt.data.pdf.rows import Row, find_running_rows, to_rows
from rag_opt.data.pdf.ruled import take_tables
from rag_opt.data.pdf.words import Words
from rag_opt.text.reading_writer import ReadingWriter

NO_TEXT = "pages without a text layer were left out (scans?): space.reader={ocr: {}} reads them"
_FEW_WORDS = "pages are pictures with some words over them, and the words alone were read"
_ONE_AT_A_TIME = threading.Lock()  # PDFium is not made for more
_PASSWORD = 4
_WATERMARK_SIZES = 2.0  # times the size of most text


def read_pdf(path: Path, *, recognise: Recognise | None = None, dpi: int = 150) -> Reading:
    """Return the text of a PDF. Raises Unreadable where it is broken or locked, or pypdfium2 is not installed.

    `recognise` and `dpi`: as in `read_pages`.
    """
    pages, attachments = _read_glyphs(path, recognise, dpi)
    writer = ReadingWriter()
    if attachments:
        writer.note("attached files were left out", count=attachments)
    _write(writer, pages)
    return writer.finish(page_count=len(pages))


def read_pictures(pictures: Sequence[Picture], recognise: Recognise, *, dpi: int = 150) -> Reading:
    """Return the text that is recognised in pictures, a page each."""
    pages = [read_picture(one, recognise, number=number, dpi=dpi) for number, one in enumerate(pictures, start=1)]
    writer = ReadingWriter()
    _write(writer, pages)
    return writer.finish(page_count=len(pages))


def _read_glyphs(path: Path, recognise: Recognise | None, dpi: int) -> tuple[list[PageGlyphs], int]:
    try:
        import pypdfium2
        from pypdfium2 import raw
    except ImportError:
        raise Unreadable("pypdfium2 is not installed; pip install pypdfium2") from None
    with _ONE_AT_A_TIME:
        try:
            document = pypdfium2.PdfDocument(path)
        except pypdfium2.PdfiumError as error:
            locked = getattr(error, "err_code", None) == _PASSWORD  # not every PdfiumError has a code
            raise Unreadable("is locked by a password" if locked else f"is no sound PDF: {error}") from None
        try:
            return list(read_pages(document, recognise=recognise, dpi=dpi)), raw.FPDFDoc_GetAttachmentCount(document)
        except pypdfium2.PdfiumError as error:
            raise Unreadable(f"is no sound PDF: {error}") from None
        finally:
            document.close()


def _write(writer: ReadingWriter, pages: Sequence[PageGlyphs]) -> None:
    runs = [run for page in pages for frame, found in page.runs.items() if frame != OBLIQUE for run in found]
    body = _usual_style(runs)
    frames = [_frames(page, body.size, writer) for page in pages]
    running = find_running_rows([found[0] if found else [] for found in frames])
    for number, (rows, positions) in enumerate(zip(frames, running, strict=True)):
        for position in sorted(positions):
            row = rows[0][position]
            writer.note("running heads and feet were left out", page=number + 1, example=row.text)
    kept = [
        [
            [row for position, row in enumerate(rows) if number or position not in positions]
            for number, rows in enumerate(found)
        ]
        for found, positions in zip(frames, running, strict=True)
    ]
    words = Words.of_lines(row.text for found in kept for rows in found for row in rows)
    paragraphs = [
        [one for rows in found if rows for one in to_paragraphs(find_segments(rows), words, body)] for found in kept
    ]
    mark_headings(paragraphs, body)
    _Assembly(writer, words).write(pages, paragraphs)
    _note_losses(writer, pages)


def _usual_style(runs: Sequence[Run]) -> Style:
    """Return how most text is set."""
    sizes, bold, fixed = Counter[float](), 0, 0
    for run in runs:
        sizes[run.size] += len(run.text)
        bold += len(run.text) if run.bold else 0
        fixed += len(run.text) if run.fixed else 0
    total = sizes.total()
    return Style(sizes.most_common(1)[0][0] if sizes else 10.0, 2 * bold > total, 2 * fixed > total)


def _frames(page: PageGlyphs, body: float, writer: ReadingWriter) -> list[list[Row]]:
    """Return the rows of a page by the direction of its text: that of most of it first. Watermarks are left out."""
    runs = dict(page.runs)
    frames = sorted(
        (frame for frame in runs if frame != OBLIQUE), key=lambda frame: -sum(len(r.text) for r in runs[frame])
    )
    found = []
    for frame in frames:
        kept = [run for run in runs[frame] if not (run.faint and run.size >= _WATERMARK_SIZES * body)]
        _note_watermarks(writer, page, [run for run in runs[frame] if run not in kept])
        rules = [rule.turned(frame) for rule in page.rules]
        if _mostly_right_to_left(kept):
            kept, rules = mirror(kept), [rule.mirrored for rule in rules]
        left, tables = take_tables(kept, rules)
        found.append(sorted([*to_rows(left), *tables], key=lambda row: -row.box.top))
    oblique = runs.get(OBLIQUE, [])
    marks = [run for run in oblique if run.faint or run.box.height >= _WATERMARK_SIZES * body]
    _note_watermarks(writer, page, marks)
    rest = [run for run in oblique if run not in marks]
    return found + ([to_rows(rest)] if rest else [])


def _mostly_right_to_left(runs: Sequence[Run]) -> bool:
    letters = [character for run in runs for character in run.text if character.isalpha()]
    return 2 * sum(is_right_to_left(character) for character in letters) > len(letters)


def _note_watermarks(writer: ReadingWriter, page: PageGlyphs, marks: Sequence[Run]) -> None:
    if marks:
        writer.note("watermarks were left out", page=page.number, example=" ".join(run.text for run in marks))


def _note_losses(writer: ReadingWriter, pages: Sequence[PageGlyphs]) -> None:
    for page in pages:
        if not page.characters and page.objects and not page.recognised:
            writer.note(NO_TEXT, page=page.number)
        elif page.picture > 0.7 and 0 < page.characters < 100 and not page.recognised:
            writer.note(_FEW_WORDS, page=page.number)
        if page.hidden:
            what = "text that nobody sees (white, invisible or tiny) was left out"
            writer.note(what, page=page.number, count=len(page.hidden), example=page.hidden)
        if page.unmapped:
            what = "characters that their font gives no meaning were left out"
            writer.note(what, page=page.number, count=page.unmapped)
        if page.remarks:
            writer.note("comments were left out", page=page.number, count=page.remarks)


class _Assembly:
    """Writes the paragraphs of all pages. Footnotes wait until the sentence that a page breaks is whole."""

    def __init__(self, writer: ReadingWriter, words: Words) -> None:
        self._writer, self._words = writer, words
        self._open: Paragraph | None = None
        self._footnotes: list[tuple[int, Paragraph]] = []

    def write(self, pages: Sequence[PageGlyphs], paragraphs: Sequence[Sequence[Paragraph]]) -> None:
        """Write all pages."""
        for page, found in zip(pages, paragraphs, strict=True):
            body = [one for one in found if one.kind != "footnote"]
            notes = [(page.number, one) for one in found if one.kind == "footnote"]
            if body and self._open is not None and self._open.takes(body[0]):
                self._continue(page.number, body.pop(0))
            if body:
                self._write_footnotes()
            self._writer.page(page.number)
            for paragraph in body:
                self._paragraph(paragraph)
            self._footnotes += notes
            for text in page.fields:
                self._open = None
                self._writer.block("paragraph", text)
        self._write_footnotes()

    def _continue(self, page: int, rest: Paragraph) -> None:
        assert self._open is not None
        before = self._open.text
        joined = self._words.join(before, rest.text)
        shared = len(before) - (not joined.startswith(before))  # a hyphen is taken back
        self._writer.take_back(len(before) - shared)
        self._writer.continue_on(page, joined[shared:])
        self._open.text, self._open.full = joined, rest.full

    def _write_footnotes(self) -> None:
        for page, paragraph in self._footnotes:
            self._writer.page(page)
            self._writer.block("footnote", paragraph.text)
        self._footnotes = []

    def _paragraph(self, paragraph: Paragraph) -> None:
        writer = self._writer
        self._open = None
        if paragraph.cells is not None:
            writer.table(paragraph.cells)
        elif paragraph.kind == "code":
            writer.code(paragraph.text)
        elif paragraph.kind == "heading":
            writer.block("heading", paragraph.text, level=paragraph.level)
        elif paragraph.kind == "list item" and is_bullet(paragraph.label):
            writer.item(without_bullet(paragraph))
            self._open = paragraph
        else:
            writer.block(
                paragraph.kind, paragraph.text, label=paragraph.label, level=int(paragraph.kind == "list item")
            )
            self._open = paragraph
