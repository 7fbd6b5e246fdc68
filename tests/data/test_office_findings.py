"""Office documents that readers once got wrong, as fresh eyes found them: the right value of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_opt.core.readings import Reading
from rag_opt.data.formats import formats_by_suffix
from rag_opt.data.office.sheets import show_number


def test_a_page_that_turns_inside_a_table_is_counted(tmp_path: Path) -> None:
    import docx
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    document = docx.Document()
    table = document.add_table(3, 2)
    for row in (1, 2):
        for cell in table.rows[row].cells:
            cell.text = f"cell {row}"
            cell.paragraphs[0].runs[0]._r.insert(0, parse_xml(f"<w:lastRenderedPageBreak {nsdecls('w')}/>"))
    document.add_paragraph("behind it")
    document.save(str(tmp_path / "a.docx"))
    reading = formats_by_suffix()[".docx"].read(tmp_path / "a.docx", encoding=None)
    assert reading.pages == ((0, 1), (reading.text.index("behind it"), 3)) and reading.page_count == 3


_WORD = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" xmlns:v="urn:schemas-microsoft-com:vml" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"'
)
_BOX = (
    '<w:r><mc:AlternateContent><mc:Choice Requires="wps"><w:drawing><wps:txbx><w:txbxContent><w:p><w:r><w:t>in a box'
    "</w:t></w:r></w:p></w:txbxContent></wps:txbx></w:drawing></mc:Choice><mc:Fallback><w:pict><v:textbox>"
    "<w:txbxContent><w:p><w:r><w:t>in a box</w:t></w:r></w:p></w:txbxContent></v:textbox></w:pict></mc:Fallback>"
    "</mc:AlternateContent></w:r>"
)


def _word(path: Path, *, body: str = "", cell: str = "", head: str = "", numbering: str = "") -> Reading:
    import docx
    from docx.oxml import parse_xml

    document = docx.Document()
    if numbering:
        document.part.numbering_part.element.append(parse_xml(f"<w:num {_WORD} {numbering}</w:num>"))
    for content in filter(None, [body]):
        document.element.body.insert(0, parse_xml(f"<w:p {_WORD}>{content}</w:p>"))
    if cell:
        table = document.add_table(2, 2)
        for place in ((0, 0), (0, 1), (1, 0)):
            table.cell(*place).text = f"cell {place}"
        table.cell(1, 1)._tc.append(parse_xml(f"<w:p {_WORD}>{cell}</w:p>"))
    if head:
        document.sections[0].header._element.append(parse_xml(f"<w:p {_WORD}>{head}</w:p>"))
    document.save(str(path))
    return formats_by_suffix()[".docx"].read(path, encoding=None)


def test_symbols_of_word_are_their_characters_or_noted(tmp_path: Path) -> None:
    signs = "".join(f'<w:sym w:font="Symbol" w:char="{code}"/>' for code in ("F0A3", "F06D", "F0B0"))
    own = '<w:r><w:rPr><w:rFonts w:ascii="Symbol"/></w:rPr><w:t>\uf0b3</w:t></w:r>'
    reading = _word(tmp_path / "a.docx", body=f'<w:r>{signs}<w:sym w:font="Logos" w:char="F041"/></w:r>{own}')
    assert reading.text == "≤μ°≥" and "the font Logos" in reading.notes[0].what


def test_spoken_letters_of_word_stand_behind_what_they_are_spoken_for(tmp_path: Path) -> None:
    ruby = (
        "<w:r><w:ruby><w:rt><w:r><w:t>かんじ</w:t></w:r></w:rt>"
        "<w:rubyBase><w:r><w:t>漢字</w:t></w:r></w:rubyBase></w:ruby></w:r>"
    )
    assert _word(tmp_path / "a.docx", body=ruby).text == "漢字(かんじ)"


def test_boxes_in_cells_and_page_heads_of_word_are_read_once(tmp_path: Path) -> None:
    hidden = "<w:r><w:rPr><w:vanish/></w:rPr><w:t>unseen</w:t></w:r>"
    reading = _word(tmp_path / "a.docx", cell=_BOX + hidden, head=_BOX)
    assert reading.text.count("in a box") == 2 and reading.text.endswith("| in a box |")
    assert [note.what for note in reading.notes] == ["hidden text was left out"]


def test_a_level_that_a_numbering_writes_in_its_own_way_is_written_so(tmp_path: Path) -> None:
    level = (
        '<w:lvl w:ilvl="0"><w:start w:val="3"/><w:numFmt w:val="upperRoman"/><w:lvlText w:val="Article %1:"/></w:lvl>'
    )
    numbering = f'w:numId="77"><w:abstractNumId w:val="0"/><w:lvlOverride w:ilvl="0">{level}</w:lvlOverride>'
    clause = '<w:pPr><w:numPr><w:ilvl w:val="0"/><w:numId w:val="77"/></w:numPr></w:pPr><w:r><w:t>Rent</w:t></w:r>'
    assert _word(tmp_path / "a.docx", body=clause, numbering=numbering).text == "Article III: Rent"


def _open_document(path: Path, content: str, *, kind: str = "text", objects: dict[str, str] | None = None) -> Reading:
    import zipfile

    names = {name: f"urn:oasis:names:tc:opendocument:xmlns:{long}:1.0" for name, long in (
        ("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"), ("style", "style"),
        ("chart", "chart"), ("svg", "svg-compatible"),
    )} | {"xlink": "http://www.w3.org/1999/xlink"}  # fmt: skip
    spaces = " ".join(f'xmlns:{name}="{address}"' for name, address in names.items())
    raised = '<style:style style:name="up"><style:text-properties style:text-position="super 58%"/></style:style>'
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "content.xml",
            f"<office:document-content {spaces}><office:automatic-styles>{raised}</office:automatic-styles>"
            f"<office:body><office:{kind}>{content}</office:{kind}></office:body></office:document-content>",
        )
        for name, one in (objects or {}).items():
            archive.writestr(f"{name}/content.xml", one.replace(">", f" {spaces}>", 1))
    return formats_by_suffix()[path.suffix].read(path, encoding=None)


def test_everything_in_cells_and_items_of_open_documents_is_read(tmp_path: Path) -> None:
    shape = "<draw:custom-shape><text:p>in a shape</text:p></draw:custom-shape>"
    comment = "<office:annotation><text:p>remark</text:p></office:annotation>"
    cells = (
        f"<text:h>Head</text:h><text:p>text{comment}{shape}</text:p>",
        "<text:list><text:list-item><text:p>one</text:p></text:list-item></text:list>",
    )
    row = "".join(f"<table:table-cell>{cell}</table:table-cell>" for cell in cells)
    table = f"<table:table><table:table-row>{row}</table:table-row></table:table>"
    item = f"<text:list><text:list-item><text:p>item{shape}</text:p></text:list-item></text:list>"
    reading = _open_document(tmp_path / "a.odt", table + item)
    assert reading.text == "| Head text in a shape | - one |\n\n- item\n\nin a shape"
    assert [(note.what, note.example) for note in reading.notes] == [("comments were left out", "remark")]


def test_tables_in_tables_of_open_documents_are_tables(tmp_path: Path) -> None:
    def table(*cells: str) -> str:
        row = "".join(f"<table:table-cell>{cell}</table:table-cell>" for cell in cells)
        return f"<table:table><table:table-row>{row}</table:table-row></table:table>"

    inner = table("<text:p>A</text:p>", "<text:p>1</text:p>")
    reading = _open_document(tmp_path / "a.odt", table("<text:p>left</text:p>", inner))
    assert reading.text == "left\n\n| A | 1 |"


def test_repeated_rows_and_embedded_charts_of_open_documents_are_read(tmp_path: Path) -> None:
    def row(*cells: str, repeated: int = 1) -> str:
        inner = "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in cells)
        return f'<table:table-row table:number-rows-repeated="{repeated}">{inner}</table:table-row>'

    frame = '<draw:frame><draw:object xlink:href="./Object 1"/></draw:frame>'
    sheet = f'<table:table table:name="S"><table:shapes>{frame}</table:shapes>{row("a", "b", repeated=2)}</table:table>'
    values = f"<table:table>{row('', 'Sales')}{row('May', '7')}</table:table>"
    title = "<chart:title><text:p>By month</text:p></chart:title>"
    chart = f"<office:document-content><chart:chart>{title}{values}</chart:chart></office:document-content>"
    reading = _open_document(tmp_path / "a.ods", sheet, kind="spreadsheet", objects={"Object 1": chart})
    assert reading.text == "# S\n\n| a | b |\n| --- | --- |\n| a | b |\n\nBy month\n\n| | Sales |\n| May | 7 |"


def test_powers_and_spoken_letters_of_open_documents(tmp_path: Path) -> None:
    power = '<text:p>10<text:span text:style-name="up">6</text:span> cells</text:p>'
    ruby = "<text:ruby><text:ruby-base>漢字</text:ruby-base><text:ruby-text>かんじ</text:ruby-text></text:ruby>"
    assert _open_document(tmp_path / "a.odt", f"{power}<text:p>{ruby}</text:p>").text == "10^6 cells\n\n漢字(かんじ)"


def test_formats_that_reach_to_the_end_of_a_sheet_are_not_read(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet["A1"], sheet["B1"] = "a", "b"
    sheet.cell(1_000_000, 20).number_format = "0.00"
    book.save(tmp_path / "a.xlsx")
    reading = formats_by_suffix()[".xlsx"].read(tmp_path / "a.xlsx", encoding=None)
    assert reading.text == "# Sheet\n\n| a | b |"


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [(4006381333931, "General", "4006381333931"), (1067, "00000", "01067"), (1.5, "0.###", "1.5"), (2, "0.##", "2")],
)
def test_numbers_of_sheets_keep_their_digits(value: float, number_format: str, shown: str) -> None:
    assert show_number(value, number_format) == shown


def test_the_title_of_a_slide_comes_first_and_hidden_slides_are_noted(tmp_path: Path) -> None:
    import pptx

    deck = pptx.Presentation()
    for title, body in (("Rates", "3 percent"), ("Draft", "not yet")):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.placeholders[0].text, slide.placeholders[1].text = title, body
        slide.shapes._spTree.append(slide.placeholders[0]._element)
    deck.slides[1]._element.set("show", "0")
    deck.save(str(tmp_path / "a.pptx"))
    reading = formats_by_suffix()[".pptx"].read(tmp_path / "a.pptx", encoding=None)
    assert reading.text == "# Rates\n\n3 percent" and reading.page_count == 2
    assert [(note.what, note.pages) for note in reading.notes] == [("hidden slides were left out", (2,))]


def test_titles_of_charts_on_sheets_are_read(tmp_path: Path) -> None:
    import openpyxl
    from openpyxl.chart import BarChart, Reference

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (("Month", "Sales"), ("May", 7)):
        sheet.append(row)
    chart = BarChart()
    chart.title = "Sales by month"
    chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=2), titles_from_data=True)
    sheet.add_chart(chart, "D2")
    book.save(tmp_path / "a.xlsx")
    reading = formats_by_suffix()[".xlsx"].read(tmp_path / "a.xlsx", encoding=None)
    assert reading.text == "# Sheet\n\n| Month | Sales |\n| --- | --- |\n| May | 7 |\n\nSales by month"


def test_objects_that_are_embedded_in_word_are_noted(tmp_path: Path) -> None:
    reading = _word(tmp_path / "a.docx", body="<w:r><w:t>See</w:t></w:r><w:r><w:object/></w:r>")
    assert reading.text == "See" and [note.what for note in reading.notes] == ["embedded objects were left out"]
