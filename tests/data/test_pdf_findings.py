"""PDFs that the reader once got wrong, as fresh eyes found them: the right value of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from reportlab.lib.colors import blue, red
from reportlab.pdfgen.canvas import Canvas

from rag_opt.core.readings import Reading
from rag_opt.data.pdf.reading import read_pdf
from rag_opt.data.pdf.words import Words

_PROSE = (
    "The harbour of the town lies open to the north and is used by",
    "fishing boats that come back at noon every day.",
)


def _lines(page: Canvas, *lines: str, top: float = 700, left: float = 60, font: str = "Helvetica") -> None:
    page.setFont(font, 10)
    for number, line in enumerate(lines):
        page.drawString(left, top - 13 * number, line)


def _read(page: Canvas, path: Path) -> Reading:
    page.save()
    return read_pdf(path)


def test_raised_numbers_are_no_digits_of_what_they_stand_behind(tmp_path: Path) -> None:
    page = Canvas(str(tmp_path / "a.pdf"))
    text = page.beginText(60, 700)
    for word, raised in (("about 10", "6"), (" cells in (x+1)", "2"), (" m", "-3"), (" of water.", "")):
        text.setFont("Helvetica", 12)
        text.textOut(word)
        text.setFont("Helvetica", 7)
        text.setRise(5)
        text.textOut(raised)
        text.setRise(0)
    page.drawText(text)
    assert _read(page, tmp_path / "a.pdf").text == "about 10^6 cells in (x+1)^2 m^-3 of water."


def test_listings_keep_their_indentation_and_words_of_code_stay_in_their_sentence(tmp_path: Path) -> None:
    page = Canvas(str(tmp_path / "a.pdf"))
    _lines(page, *_PROSE, top=700)
    _lines(page, "def add(a, b):", "    if a:", "        return a + b", "", "    return b", top=660, font="Courier")
    _lines(page, "The words that follow fill one line of text, and the rest of", top=580)
    _lines(page, "a_very_long_name_that_fills_the_whole_line_of_it", top=567, font="Courier")
    _lines(page, "is read as one sentence with what stands around that name.", top=554)
    reading = _read(page, tmp_path / "a.pdf")
    code = [reading.text[block.start : block.end] for block in reading.blocks or () if block.kind == "code"]
    assert code == ["```\ndef add(a, b):\n    if a:\n        return a + b\n\n    return b\n```"]
    assert "the rest of a_very_long_name_that_fills_the_whole_line_of_it is read" in reading.text


def test_typewritten_text_is_no_listing(tmp_path: Path) -> None:
    page = Canvas(str(tmp_path / "a.pdf"))
    _lines(page, *_PROSE, font="Courier")
    assert _read(page, tmp_path / "a.pdf").text == " ".join(_PROSE)


def test_white_text_over_a_gradient_or_on_areas_of_a_form_is_seen(tmp_path: Path) -> None:
    page = Canvas(str(tmp_path / "a.pdf"))
    page.saveState()
    clip = page.beginPath()
    clip.rect(50, 690, 300, 30)
    page.clipPath(clip, stroke=0, fill=0)
    page.linearGradient(50, 690, 350, 720, (red, blue))
    page.restoreState()
    page.beginForm("badge")
    page.setFillColor(blue)
    page.rect(50, 590, 300, 30, stroke=0, fill=1)
    page.endForm()
    page.doForm("badge")
    page.setFillColorRGB(1, 1, 1)
    _lines(page, "Over the gradient", top=700)
    _lines(page, "Over the form", top=600)
    _lines(page, "Over nothing at all", top=400)
    reading = _read(page, tmp_path / "a.pdf")
    assert "Over the gradient" in reading.text and "Over the form" in reading.text
    assert "nothing" not in reading.text and "nobody sees" in reading.notes[0].what


def test_an_item_goes_on_over_the_end_of_a_page(tmp_path: Path) -> None:
    page = Canvas(str(tmp_path / "a.pdf"))
    _lines(page, *_PROSE, "• an item whose sentence is as wide as the column and goes on")
    page.showPage()
    _lines(page, "behind the end of this page.")
    assert "goes on behind the end of this page." in _read(page, tmp_path / "a.pdf").text


def test_the_head_of_a_chapter_that_counts_its_pages_is_left_out(tmp_path: Path) -> None:
    page = Canvas(str(tmp_path / "a.pdf"))
    for number in range(1, 13):
        page.drawString(60, 800, f"Chapter {(number - 1) // 3 + 1}: Boats")
        page.drawString(500, 800, str(number))
        _lines(page, *_PROSE, f"This is page {'abcdefghijkl'[number - 1]} of it.")
        page.showPage()
    text = _read(page, tmp_path / "a.pdf").text
    assert "Chapter" not in text and "This is page l of it." in text


@pytest.mark.parametrize(
    ("before", "after", "joined"),
    [
        ("a locale-", "specific value", "a locale-specific value"),
        ("the HIV-", "infected cells", "the HIV-infected cells"),
        ("on a case-", "by-case basis", "on a case-by-case basis"),
        ("see http://x.org/a-", "new-one here", "see http://x.org/a-new-one here"),
        ("more compu-", "tations of", "more computations of"),
        ("two sub-", "scripts are", "two subscripts are"),
        ("(how-", "ever, it)", "(however, it)"),
    ],
)
def test_a_hyphen_at_the_end_of_a_line_stays_where_its_word_has_one(before: str, after: str, joined: str) -> None:
    words = Words({"locale", "specific", "sub", "scripts", "ever", "how", "however"})
    assert words.join(before, after) == joined
