"""Word, PowerPoint and Excel files, by the libraries that people write them with."""

from __future__ import annotations

from pathlib import Path

import docx
import openpyxl
import pptx
from docx.document import Document as WordDocument
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls, qn
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from tests.documents.content import Cell, Labelled, cells_of, paragraphs, table, words_of


def _number(document: WordDocument, level_text: list[str], start: int = 1) -> int:
    """Add a numbering whose levels are written so, and return its number."""
    root = document.part.numbering_part.element
    levels = "".join(
        f'<w:lvl w:ilvl="{n}"><w:start w:val="{start if n == 0 else 1}"/>'
        f'<w:numFmt w:val="{"lowerLetter" if "(" in text else "decimal"}"/><w:lvlText w:val="{text}"/></w:lvl>'
        for n, text in enumerate(level_text)
    )
    number = 70 + len(root)
    abstract = parse_xml(f'<w:abstractNum {nsdecls("w")} w:abstractNumId="{number}">{levels}</w:abstractNum>')
    root.insert(0, abstract)
    root.append(parse_xml(f'<w:num {nsdecls("w")} w:numId="{number}"><w:abstractNumId w:val="{number}"/></w:num>'))
    return number


def _numbered(document: WordDocument, text: str, number: int, level: int, style: str | None = None) -> None:
    properties = document.add_paragraph(text, style=style)._p.get_or_add_pPr()
    properties.append(parse_xml(
        f'<w:numPr {nsdecls("w")}><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>'
    ))  # fmt: skip


def clauses(path: Path) -> Labelled:
    """A contract whose numbers Word makes."""
    document, words = docx.Document(), []
    number = _number(document, ["%1", "%1.%2", "(%3)"], start=4)
    for chapter, title in enumerate(("Termination", "Liability", "Payment"), start=4):
        _numbered(document, title, number, 0, "Heading 1")
        words.append(f"{chapter} {title}")
        for clause, text in enumerate(paragraphs(20 + chapter, 2, length=1), start=1):
            _numbered(document, text, number, 1)
            words.append(f"{chapter}.{clause} {text}")
            for letter, inner in zip("ab", paragraphs(40 + 10 * chapter + clause, 2, length=1), strict=True):
                _numbered(document, inner, number, 2)
                words.append(f"({letter}) {inner}")
    document.save(str(path))
    return Labelled(path.name, " ".join(words))


def word_table(path: Path) -> Labelled:
    """A table with a cell over two rows and one over two columns, between paragraphs."""
    document, (above, below) = docx.Document(), paragraphs(31, 2)
    rows = [["Type", "Weight", "Range"], ["Alder", "12 kg", "40 km"], ["", "14 kg", "55 km"], ["Birch", "unknown", ""]]
    document.add_paragraph(above)
    grid = document.add_table(len(rows), 3, style="Table Grid")
    for r, row in enumerate(rows):
        for c, text in enumerate(row):
            grid.cell(r, c).text = text
    grid.cell(1, 0).merge(grid.cell(2, 0)).text = "Alder"
    grid.cell(3, 1).merge(grid.cell(3, 2)).text = "unknown"
    document.add_paragraph(below)
    document.save(str(path))
    cells = (
        Cell("Alder", "Weight", "12 kg"), Cell("Alder", "Weight", "14 kg"), Cell("Alder", "Range", "55 km"),
        Cell("Birch", "Weight", "unknown"), Cell("Birch", "Range", "unknown"),
    )  # fmt: skip
    return Labelled(path.name, f"{above} {words_of(rows)} {below}", cells)


def around_the_text(path: Path) -> Labelled:
    """A page head, a page foot, a text box, and a tracked deletion, which is not read."""
    document, texts = docx.Document(), paragraphs(32, 3)
    document.sections[0].header.paragraphs[0].text = "Statutes of the Orchard Society"
    document.sections[0].footer.paragraphs[0].text = "Printed in Moorhaven"
    document.add_heading("Purpose", 1)
    document.add_paragraph(texts[0])
    boxed = document.add_paragraph()
    boxed._p.append(parse_xml(
        f'<w:r {nsdecls("w", "wp", "a")} xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape">'
        '<w:drawing><wp:inline><a:graphic><a:graphicData uri="x"><wps:wsp><wps:txbx><w:txbxContent><w:p><w:r><w:t>'
        f"{texts[1]}</w:t></w:r></w:p></w:txbxContent></wps:txbx></wps:wsp></a:graphicData></a:graphic></wp:inline>"
        "</w:drawing></w:r>"
    ))  # fmt: skip
    last = document.add_paragraph(texts[2])
    last._p.append(parse_xml(
        f'<w:del {nsdecls("w")} w:id="1"><w:r><w:delText>withdrawn words</w:delText></w:r></w:del>'
    ))  # fmt: skip
    document.save(str(path))
    words = ["Statutes of the Orchard Society", "Purpose", *texts, "Printed in Moorhaven"]
    return Labelled(path.name, " ".join(words), notes=("deleted text (tracked changes)",))


def lists_and_headings(path: Path) -> Labelled:
    """Headings of three levels, bullets, and numbers of a style."""
    document, words = docx.Document(), []
    for level, title in enumerate(("Handbook", "Boats", "Rowing boats"), start=1):
        document.add_heading(title, level)
        text = paragraphs(33 + level, 1)[0]
        document.add_paragraph(text)
        words += [title, text]
    for text in paragraphs(37, 3, length=1):
        document.add_paragraph(text, style="List Bullet")
        words.append(text)
    for number, text in enumerate(paragraphs(38, 3, length=1), start=1):
        document.add_paragraph(text, style="List Number")
        words.append(f"{number}. {text}")
    document.save(str(path))
    return Labelled(path.name, " ".join(words))


def slides(path: Path) -> Labelled:
    """Three slides with bullets and notes of the speaker."""
    show, words = pptx.Presentation(), []
    for number in range(3):
        slide = show.slides.add_slide(show.slide_layouts[1])
        title, (first, second) = f"Harbour plan part {number + 1}", paragraphs(41 + number, 2, length=1)
        slide.shapes.title.text = title
        slide.placeholders[1].text_frame.text = first
        slide.placeholders[1].text_frame.add_paragraph().text = second
        note = paragraphs(47 + number, 1, length=1)[0]
        slide.notes_slide.notes_text_frame.text = note
        words += [title, first, second, note]
    show.save(str(path))
    return Labelled(path.name, " ".join(words))


def slide_table(path: Path) -> Labelled:
    """A slide with a table."""
    show, rows = pptx.Presentation(), table(51, 5)
    slide = show.slides.add_slide(show.slide_layouts[5])
    slide.shapes.title.text = "Vessels in port"
    frame = slide.shapes.add_table(len(rows), len(rows[0]), Inches(1), Inches(2), Inches(8), Inches(3))
    for r, row in enumerate(rows):
        for c, text in enumerate(row):
            frame.table.cell(r, c).text = text
    show.save(str(path))
    return Labelled(path.name, f"Vessels in port {words_of(rows)}", cells_of(rows))


def slide_chart(path: Path) -> Labelled:
    """A slide with a chart: its title, its categories, its values."""
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[5])
    slide.shapes.title.text = "Catch of the year"
    data = CategoryChartData()
    data.categories = ["Herring", "Cod", "Eel"]
    data.add_series("2023", (19.2, 21.4, 16.7))
    data.add_series("2024", (22.3, 28.6, 15.2))
    place = Inches(1), Inches(2), Inches(8), Inches(4)
    chart = slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *place, data).chart
    chart.has_title = True
    chart.chart_title.text_frame.text = "Tonnes landed"
    show.save(str(path))
    rows = [["", "2023", "2024"], ["Herring", "19.2", "22.3"], ["Cod", "21.4", "28.6"], ["Eel", "16.7", "15.2"]]
    return Labelled(path.name, f"Catch of the year Tonnes landed {words_of(rows)}", cells_of(rows))


def workbook(path: Path) -> Labelled:
    """Two sheets; numbers with two decimals and per cents, as they are shown."""
    book = openpyxl.Workbook()
    first = book.active
    assert first is not None
    first.title = "Prices"
    shown = [["article", "price", "share"], ["rope", "2.40", "25%"], ["shackle", "7.90", "75%"]]
    for row in (["article", "price", "share"], ["rope", 2.4, 0.25], ["shackle", 7.9, 0.75]):
        first.append(row)
    for row in (2, 3):
        first.cell(row, 2).number_format = "0.00"
        first.cell(row, 3).number_format = "0%"
    second, rows = book.create_sheet("Boats"), table(52, 6)
    for row in rows:
        second.append(row)
    book.save(path)
    words = f"Prices {words_of(shown)} Boats {words_of(rows)}"
    return Labelled(path.name, words, (*cells_of(shown), *cells_of(rows)))


WORD = (clauses, word_table, around_the_text, lists_and_headings)
OTHERS = (slides, slide_table, slide_chart, workbook)
__all__ = ["OTHERS", "WORD", "qn"]
