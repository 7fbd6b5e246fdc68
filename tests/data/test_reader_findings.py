"""Inputs that readers once got wrong, as fresh eyes found them: the right value of each."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_opt.core.documents import Block
from rag_opt.core.errors import BadInput
from rag_opt.core.readings import Reading
from rag_opt.data.datasets.folder import Folder
from rag_opt.data.decoding import decode
from rag_opt.data.formats import formats_by_suffix
from rag_opt.data.html.reading import read_html
from rag_opt.text.markdown_blocks import markdown_blocks
from rag_opt.text.marked_text import asciidoc_blocks, latex_blocks, restructured_text_blocks
from rag_opt.text.plain_blocks import plain_blocks
from rag_opt.text.reading_writer import ReadingWriter


def read(path: Path, content: str | bytes) -> Reading:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return formats_by_suffix()[path.suffix].read(path, encoding=None)


def test_quotes_doubled_in_a_csv_are_quotes(tmp_path: Path) -> None:
    text = read(tmp_path / "a.csv", 'id,text,val\n1,"a ""quoted"" one\nwith newline",3\n2,b,4\n').text
    assert text.splitlines()[2:] == ['| 1 | a "quoted" one with newline | 3 |', "| 2 | b | 4 |"]


def test_marks_of_list_items_are_no_column(tmp_path: Path) -> None:
    from reportlab.pdfgen import canvas

    page = canvas.Canvas(str(tmp_path / "a.pdf"))
    for number, item in enumerate(("your passport", "two photos", "a pen of your own", "ten euros")):
        page.drawString(60, 700 - 16 * number, "•")
        page.drawString(80, 700 - 16 * number, item)
    page.save()
    reading = formats_by_suffix()[".pdf"].read(tmp_path / "a.pdf", encoding=None)
    assert reading.text == "- your passport\n- two photos\n- a pen of your own\n- ten euros"


def test_what_certificates_share_is_no_running_head(tmp_path: Path) -> None:
    from reportlab.pdfgen import canvas

    page = canvas.Canvas(str(tmp_path / "a.pdf"))
    for name in ("Anna", "Bert", "Carl"):
        lines = ["Certificate", "of the sailing school", "This says that", name, "has passed", "the first course"]
        for number, line in enumerate(lines):
            page.drawString(60, 700 - 30 * number, line)
        page.showPage()
    page.save()
    text = formats_by_suffix()[".pdf"].read(tmp_path / "a.pdf", encoding=None).text
    assert "has passed" in text and "This says that" in text and "of the sailing school" in text


@given(st.text(alphabet="ab .\t\r\n\x0c\u00a0", max_size=30))
def test_paragraphs_of_plain_text_stand_between_empty_lines_of_any_line_end(text: str) -> None:
    parts = re.split(r"(?>\r\n|\n|\r)(?:[^\S\r\n]*(?>\r\n|\n|\r))+", text)
    found = [text[block.start : block.end] for block in plain_blocks(text)]
    assert found == [part.strip() for part in parts if part.strip()]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_of_windows_change_no_structure(end: str) -> None:
    marked = end.join(["Title", "=====", "", "text"])
    assert [block.kind for block in restructured_text_blocks(marked)] == ["heading", "paragraph"]
    front = end.join(["---", "title: X", "---", "", "# Head"])
    assert [block.kind for block in markdown_blocks(front)] == ["metadata", "heading"]


def test_a_rule_at_the_beginning_is_no_front_matter() -> None:
    assert [block.kind for block in markdown_blocks("---\n\n# Head\n\ntext\n\n---\n")] == ["heading", "paragraph"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("これは日本語の文書です。港の灯台は夜に光ります。" * 4, "shift_jis"),
        ("Viel Spaß“ und „Grüße an alle", "cp1252"),
    ],
)
def test_a_chance_pair_of_bytes_makes_no_utf_8(text: str, encoding: str) -> None:
    found, notes = decode(text.encode(encoding))
    assert found == text and notes


def test_a_page_that_has_a_box_about_cookies_is_no_such_box() -> None:
    words = "All the content of the page stands here. " * 60
    assert read_html(f"<body><div class='page has-cookie-bar'><p>{words}</p></div></body>").text == words.strip()


@pytest.mark.parametrize(
    "table",
    [
        "<table><form><tr><td>A</td><td>B</td></tr></form></table>",
        "<table><tr><form><td>A</td><td>B</td></form></tr></table>",
        "<table><td>A</td><td>B</td></table>",
    ],
)
def test_cells_are_read_wherever_a_form_or_a_missing_row_puts_them(table: str) -> None:
    assert read_html(f"<body>{table}</body>").text.replace("|", " ").split() == ["A", "B"]


def test_a_mail_without_a_charset_keeps_its_letters(tmp_path: Path) -> None:
    mail = "From: a@b\nSubject: x\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\nGrüße aus Köln\n"
    assert "Grüße aus Köln" in read(tmp_path / "a.eml", mail).text


def test_rolling_captions_are_read_once_and_short_answers_stay(tmp_path: Path) -> None:
    rolling = (
        "WEBVTT\n\n00:01.000 --> 00:02.000\nhello world\n\n00:02.000 --> 00:03.000\nhello world\nhow are you\n\n"
        "00:03.000 --> 00:04.000\nhow are you\ndoing today\n"
    )
    assert read(tmp_path / "a.vtt", rolling).text == "hello world how are you doing today"
    spoken = "1\n00:00:01,000 --> 00:00:02,000\nDid she say no\n\n2\n00:00:02,500 --> 00:00:03,000\nno\n"
    assert read(tmp_path / "a.srt", spoken).text == "Did she say no no"


def test_all_text_of_markdown_lies_in_a_block(tmp_path: Path) -> None:
    text = "- a\n  - b\n\n  continued a text\n- c\n\n[ref]: http://x.y\n"
    kinds = [(block.kind, text[block.start : block.end]) for block in markdown_blocks(text)]
    assert ("paragraph", "continued a text") in kinds and kinds[-1] == ("paragraph", "[ref]: http://x.y")


def test_values_of_data_are_read_wherever_they_stand(tmp_path: Path) -> None:
    assert read(tmp_path / "a.xml", "<c><item name='Bolt' price='3'/></c>").text == "item\nname: Bolt\nprice: 3"
    assert read(tmp_path / "a.json", '{"a": NaN, "b": "x"}').text == "a: nan\nb: x"


def test_a_comment_that_speaks_of_times_is_no_cue(tmp_path: Path) -> None:
    text = "WEBVTT\n\nNOTE cut here\n00:01.000 --> 00:02.000\nnot said\n\n00:02.000 --> 00:03.000\nsaid\n"
    assert read(tmp_path / "a.vtt", text).text == "said"


def test_a_header_without_names_is_none() -> None:
    rows = "<thead><tr><th></th><th></th></tr></thead><tbody><tr><td>Weight</td><td>5 kg</td></tr></tbody>"
    assert read_html(f"<body><table>{rows}</table></body>").text == "| Weight | 5 kg |"


def test_the_header_of_a_table_with_other_line_ends_is_measured_as_it_is_written() -> None:
    text = "| a | b |\r\n|---|---|\r\n| 1 | 2 |\r\n"
    writer = ReadingWriter()
    writer.append(Reading(text, markdown_blocks(text)))
    (table,) = writer.finish().blocks or ()
    assert writer.finish().text[: table.header_end] == "| a | b |\n|---|---|\n"


def test_links_that_lead_to_themselves_are_none(tmp_path: Path) -> None:
    (tmp_path / "loop.txt").symlink_to(tmp_path / "loop.txt")
    (tmp_path / "a.txt").write_text("Bees make honey.")
    (tmp_path / "questions.jsonl").write_text('{"question": "What?"}')
    folder = Folder(documents=str(tmp_path), questions=str(tmp_path / "questions.jsonl"))
    assert folder.read().corpus.ids == ("a.txt",)


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (
            "<ul>Before<li>one</li>between<li>two</li><b>bold</b> after</ul>",
            "Before\n\n- one\n\nbetween\n\n- two\n\nbold after",
        ),
        ("<dl>Before<dt>a</dt><dd>b</dd><p>after</p></dl>", "Before\n\n- a: b\n\nafter"),
        (
            "<table>Note 1<tr>Note 2<td>A</td><td>B</td></tr><p>Note 3</p></table>",
            "Note 1 Note 2\n\nNote 3\n\n| A | B |",
        ),
    ],
)
def test_text_that_stands_beside_items_and_cells_is_read(page: str, text: str) -> None:
    assert read_html(f"<body>{page}</body>").text == text


def test_spoken_letters_of_pages_stand_behind_what_they_are_spoken_for() -> None:
    page = "<p>この<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rt>じ</rt></ruby>は</p>"
    assert read_html(page).text == "この漢字(かんじ)は"


def test_names_faults_and_encodings_of_xml(tmp_path: Path) -> None:
    assert read(tmp_path / "a.xml", "<c><item price='3'>Bolt</item></c>").text == "item: Bolt\nprice: 3"
    marked = read(tmp_path / "a.xml", "<p>See <a href='http://x.y'>this</a> one</p>")
    assert (marked.text, marked.notes[0].example) == ("p: See this one", "href: http://x.y")
    broken = read(tmp_path / "a.xml", "<c><a>one</b></a><d>two &undefined; three</d></c>")
    assert broken.text == "a: one" and "line 1" in broken.notes[0].example
    named = '<!DOCTYPE c [<!ENTITY us "ACME &amp; Sons">]><c><p>by &us;</p></c>'
    assert read(tmp_path / "a.xml", named).text == "p: by ACME & Sons"
    (tmp_path / "a.xml").write_bytes("<c><p>Grüße</p></c>".encode("cp1252"))
    assert formats_by_suffix()[".xml"].read(tmp_path / "a.xml", encoding="cp1252").text == "p: Grüße"


def test_entities_that_grow_without_end_are_no_text(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    reading = read(tmp_path / "a.xml", f'<!DOCTYPE c [<!ENTITY a0 "aaaaaaaaaa">{entities}]><c><p>&a11;</p></c>')
    assert len(reading.text) < 1000 and "amplification" in reading.notes[0].example


def test_folders_that_cannot_be_opened_and_links_to_nothing_are_named() -> None:
    with tempfile.TemporaryDirectory() as made:
        source = Path(made)
        source.chmod(0o755)
        (source / "a.txt").write_text("Bees make honey.")
        (source / "gone.txt").symlink_to(source / "nothing.txt")
        (source / "locked").mkdir(mode=0o000)
        (source / "questions.jsonl").write_text('{"question": "What?"}')
        root = os.geteuid() == 0  # who may open everything
        if root:
            os.seteuid(65534)
        try:
            kept = Folder(documents=made, questions=f"{made}/questions.jsonl", on_error="skip").read()
            with pytest.raises(BadInput, match=r"locked.*cannot be read: Permission denied"):
                Folder(documents=made, questions=f"{made}/questions.jsonl").read()
        finally:
            if root:
                os.seteuid(0)
    notes = " ".join(kept.notes)
    assert "locked cannot be read" in notes and "1 links" in notes and "lead to nothing: gone.txt" in notes


def test_an_empty_line_ends_no_cue_of_srt_and_every_cue_of_webvtt(tmp_path: Path) -> None:
    srt = "1\n00:00:01,000 --> 00:00:02,000\nfirst\n\nsecond\n\n2\n00:00:02,000 --> 00:00:03,000\n42\n"
    assert read(tmp_path / "a.srt", srt).text == "first second 42"
    vtt = "WEBVTT\n\n1\n00:01.000 --> 00:02.000\nfirst\n\nNOTE unsaid\n\n2\n00:02.000 --> 00:03.000\n42\n"
    assert read(tmp_path / "a.vtt", vtt).text == "first 42"


def test_everyone_who_speaks_in_a_cue_is_named(tmp_path: Path) -> None:
    vtt = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Anna>Yes.</v>\n<v Bert>Yes.</v>\n"
    assert read(tmp_path / "a.vtt", vtt).text == "Anna: Yes.\n\nBert: Yes."


def _mail(kind: str, *parts: str) -> str:
    head = f"From: a@b\nSubject: s\nMIME-Version: 1.0\nContent-Type: multipart/{kind}; boundary=X\n\n"
    return head + "".join(f"--X\nContent-Type: {part}\n" for part in parts) + "--X--\n"


def test_a_mail_goes_on_behind_its_pictures(tmp_path: Path) -> None:
    picture = "image/png; name=a.png\nContent-Disposition: inline; filename=a.png\n\nxx"
    mail = _mail("mixed", "text/plain\n\nfirst", picture, "text/plain\n\nsecond")
    reading = read(tmp_path / "a.eml", mail)
    assert reading.text.endswith("first\n\nsecond") and [note.example for note in reading.notes] == ["a.png"]


def test_a_plain_text_that_asks_for_another_program_is_not_the_mail(tmp_path: Path) -> None:
    page = "text/html\n\n<p>The invoice is over 300 euros and due on 4 May. Please pay it to the account below.</p>"
    assert (
        "300 euros" in read(tmp_path / "a.eml", _mail("alternative", "text/plain\n\nPlease view as HTML.", page)).text
    )


def _blocks(found: tuple[Block, ...], text: str) -> list[tuple[str, str, str]]:
    """Return kind, text and table header of each block."""
    return [(one.kind, text[one.start : one.end], text[one.start : one.header_end or one.start]) for one in found]


def test_titles_and_tables_of_restructured_text() -> None:
    simple = "==== =====\nName Price\n==== =====\nNut  3\n==== =====\n"
    grid = "+---+---+\n| A | B |\n+===+===+\n| 1 | 2 |\n+---+---+\n"
    text = f".. _intro:\nTitle\n=====\ntext\nof it\n\n{simple}\n{grid}"
    assert _blocks(restructured_text_blocks(text), text) == [
        ("paragraph", ".. _intro:", ""),
        ("heading", "Title\n=====", ""),
        ("paragraph", "text\nof it", ""),
        ("table", simple.strip(), "==== =====\nName Price\n==== =====\n"),
        ("table", grid.strip(), "+---+---+\n| A | B |\n+===+===+\n"),
    ]


def test_tables_of_latex_and_asciidoc_have_headers() -> None:
    table = "\\begin{tabular}{lr}\n\\toprule\nName & Price \\\\\n\\midrule\nNut & 3 \\\\\n\\end{tabular}"
    text = f"\\section{{Prices}}\nAll of them:\n{table}\nThat is all."
    assert _blocks(latex_blocks(text), text) == [
        ("heading", "\\section{Prices}", ""),
        ("paragraph", "All of them:", ""),
        ("table", table, table[: table.index("Nut")]),
        ("paragraph", "That is all.", ""),
    ]
    text = "|===\n|Name |Price\n\n|Nut |3\n|===\n"
    assert _blocks(asciidoc_blocks(text), text) == [("table", text.strip(), "|===\n|Name |Price\n\n")]
