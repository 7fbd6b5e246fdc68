"""Documents that are no plain text, made here byte by byte: what is read of them, and what is said of broken ones."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from rag_opt.core.errors import BadInput, Unreadable
from rag_opt.data.datasets.folder import Folder
from rag_opt.data.formats import formats_by_suffix
from rag_opt.data.html.reading import read_html

TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">{}</Types>'
RELS = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
P = (
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    f'xmlns:r="{OFFICE}"'
)


def read(path: Path) -> str:
    format_ = formats_by_suffix().get(path.suffix)
    assert format_ is not None
    return format_.read(path, encoding=None).text


def zipped(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def relation(name: str, kind: str, target: str) -> str:
    return f'<Relationship Id="{name}" Type="{OFFICE}/{kind}" Target="{target}"/>'


def a_docx(path: Path) -> Path:
    def paragraph(text: str, style: str = "") -> str:
        look = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
        return f"<w:p>{look}<w:r><w:t>{text}</w:t></w:r></w:p>"

    def cells(*texts: str) -> str:
        return "<w:tr>" + "".join(f"<w:tc>{paragraph(text)}</w:tc>" for text in texts) + "</w:tr>"

    body = paragraph("Safety", "Heading1") + paragraph("Wear goggles &amp; gloves. Ёлка 東京")
    body += f"<w:tbl>{cells('Seal', 'A-17')}{cells('Bolt', 'B-4')}</w:tbl>"
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    style = '<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'
    styles = f"<w:styles {W}>{style}</w:styles>"
    return zipped(
        path,
        {
            "[Content_Types].xml": TYPES.format(
                f'<Override PartName="/word/document.xml" ContentType="{kind}.document.main+xml"/>'
                f'<Override PartName="/word/styles.xml" ContentType="{kind}.styles+xml"/>'
                '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            ),
            "_rels/.rels": RELS.format(relation("a", "officeDocument", "word/document.xml")),
            "word/_rels/document.xml.rels": RELS.format(relation("b", "styles", "styles.xml")),
            "word/styles.xml": styles,
            "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
        },
    )


def a_pptx(path: Path) -> Path:
    def shape(text: str, kind: str) -> str:
        place = f'<p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>'
        return f"<p:sp>{place}<p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"

    def slide(*shapes: str) -> str:
        return f"<p:sld {P}><p:cSld><p:spTree>{''.join(shapes)}</p:spTree></p:cSld></p:sld>"

    row = "".join(f"<a:tc><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:tc>" for text in ("Seal", "A-17"))
    table = f"<p:graphicFrame><a:tbl><a:tr>{row}</a:tr></a:tbl></p:graphicFrame>"
    slides = '<p:sldIdLst><p:sldId id="2" r:id="two"/><p:sldId id="1" r:id="one"/></p:sldIdLst>'
    return zipped(
        path,
        {
            "_rels/.rels": RELS.format(relation("a", "officeDocument", "ppt/presentation.xml")),
            "ppt/presentation.xml": f"<p:presentation {P}>{slides}</p:presentation>",
            "ppt/_rels/presentation.xml.rels": RELS.format(
                relation("one", "slide", "slides/slide1.xml") + relation("two", "slide", "slides/slide2.xml")
            ),
            "ppt/slides/slide1.xml": slide(shape("Second shown", "title"), shape("7", "sldNum"), table),
            "ppt/slides/slide2.xml": slide(shape("First shown", "title"), shape("A body.", "body")),
            "ppt/slides/_rels/slide1.xml.rels": RELS.format(relation("n", "notesSlide", "../notesSlides/n1.xml")),
            "ppt/notesSlides/n1.xml": slide(shape("Say it slowly.", "body")),
        },
    )


def an_epub(path: Path) -> Path:
    items = "".join(
        f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml" {more}/>'
        for name, more in (("nav", 'properties="nav"'), ("b", ""), ("a", ""))
    )
    spine = "".join(f'<itemref idref="{name}"/>' for name in ("nav", "b", "a"))
    return zipped(
        path,
        {
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="O/p.opf"/></rootfiles></container>',
            "O/p.opf": f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>",
            "O/nav.xhtml": "<html><body>Contents</body></html>",
            "O/a.xhtml": "<html><body><h2>Last</h2><p>The end.</p></body></html>",
            "O/b.xhtml": "<html><body><h1>First</h1><ul><li>one</li><li>two</li></ul></body></html>",
        },
    )


def a_pdf(path: Path, pages: list[list[str]]) -> Path:
    """Lines of Helvetica, as a PDF has had them since its first version."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    for lines in pages:
        shown = "".join(f"1 0 0 1 72 {760 - 40 * n} Tm ({line}) Tj " for n, line in enumerate(lines))
        content = f"BT /F 12 Tf {shown}ET"
        number = len(objects) + 1
        kids.append(f"{number} 0 R")
        font = "<< /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
        size = "/MediaBox [0 0 612 792]"
        look = f"/Contents {number + 1} 0 R /Resources << /Font {font} >>"
        objects.append(f"<< /Type /Page /Parent 2 0 R {size} {look} >>")
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    objects[1] = f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(kids)}] >>"
    body, places = "%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n{one}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    start = len(body)
    body += (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer << /Size {len(objects) + 1} /Root 1 0 R >>\n"
    )
    path.write_bytes(f"{body}startxref\n{start}\n%%EOF".encode())
    return path


def test_docx_with_headings_and_tables(tmp_path: Path) -> None:
    text = read(a_docx(tmp_path / "a.docx"))
    assert text.startswith("# Safety\n")
    assert "Wear goggles & gloves. Ёлка 東京" in text and "Seal | A-17" in " ".join(text.split())


def test_pptx_in_the_order_of_the_slides(tmp_path: Path) -> None:
    text = read(a_pptx(tmp_path / "a.pptx"))
    assert text == "# First shown\n\nA body.\n\n# Second shown\n\n| Seal | A-17 |\n\nSay it slowly."


def test_epub_in_the_order_of_the_spine(tmp_path: Path) -> None:
    assert read(an_epub(tmp_path / "a.epub")) == "# First\n\n- one\n- two\n\n## Last\n\nThe end."


def test_pdf_without_what_runs_along_its_pages(tmp_path: Path) -> None:
    pages = [["Handbook", f"Chapter {n} says something of its own.", f"page {n}"] for n in range(1, 6)]
    text = read(a_pdf(tmp_path / "a.pdf", pages))
    assert text == "\n\n".join(f"Chapter {n} says something of its own." for n in range(1, 6))
    assert read(a_pdf(tmp_path / "b.pdf", pages[:2])).count("Handbook") == 2, "two pages show no pattern"


def test_html_cells_and_headings_stay_apart() -> None:
    page = "<body><h2>Parts</h2><table><tr><td>Seal</td><td>A-17</td></tr></table><script>no</script></body>"
    assert read_html(page).text == "## Parts\n\n| Seal | A-17 |"


@pytest.mark.parametrize("suffix", [".pdf", ".docx", ".pptx", ".epub"])
@pytest.mark.parametrize("content", [b"", b"garbage that is none of them", b"PK\x03\x04 half a zip"])
def test_a_broken_file_is_unreadable(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match="is no sound"):
        read(path)


def test_a_zip_with_nonsense_inside_is_unreadable(tmp_path: Path) -> None:
    zipped(tmp_path / "a.epub", {"META-INF/container.xml": "no XML at all"})
    slide = {
        "ppt/presentation.xml": f"<p:presentation {P}><p:sldIdLst><p:sldId r:id='a'/></p:sldIdLst></p:presentation>"
    }
    relations = {"_rels/.rels": RELS.format(relation("a", "officeDocument", "ppt/presentation.xml"))}
    relations["ppt/_rels/presentation.xml.rels"] = RELS.format(relation("a", "slide", "s.xml"))
    zipped(tmp_path / "a.pptx", {**slide, **relations, "ppt/s.xml": "<empty/>"})
    for name in ("a.epub", "a.pptx"):
        with pytest.raises(Unreadable, match="is no sound"):
            read(tmp_path / name)


def test_a_zip_of_another_kind_is_unreadable(tmp_path: Path) -> None:
    for suffix in (".docx", ".pptx", ".epub"):
        with pytest.raises(Unreadable):
            read(zipped(tmp_path / f"other{suffix}", {"a.txt": "hello"}))


def test_endings_that_nobody_reads_are_unknown() -> None:
    assert ".png" not in formats_by_suffix() and ".pdf" in formats_by_suffix()


def test_a_folder_of_all_formats_is_read(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    a_docx(docs / "a.docx"), a_pptx(docs / "b.pptx"), an_epub(docs / "c.epub")
    a_pdf(docs / "d.pdf", [["Only this."]]), a_pdf(docs / "scan.pdf", [[]])
    (docs / "e.log").write_text("12:00 started\n")
    (tmp_path / "q.jsonl").write_text('{"question": "What is to be worn?", "evidence": ["Wear goggles & gloves."]}')
    reader = {"documents": str(docs), "questions": str(tmp_path / "q.jsonl")}
    data = Folder(**reader).read()
    assert [one.id for one in data.corpus.documents] == ["a.docx", "b.pptx", "c.epub", "d.pdf"]
    assert any("hold no text" in note and "scan.pdf" in note for note in data.notes)
    assert "e.log" in [one.id for one in Folder(**reader, also=[".log"]).read().corpus.documents]
    (docs / "f.pdf").write_bytes(b"%PDF-1.4 and nothing more")
    with pytest.raises(BadInput, match=r"f\.pdf: is no sound PDF"):
        Folder(**reader).read()


def test_a_link_out_of_the_folder_is_named_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("not for anybody")
    documents = tmp_path / "docs"
    documents.mkdir()
    (documents / "inside.txt").write_text("Bees make honey.")
    (documents / "link.txt").symlink_to(tmp_path / "secret.txt")
    (documents / "up").symlink_to(tmp_path)
    (documents / "same.txt").symlink_to(documents / "inside.txt")
    (tmp_path / "questions.jsonl").write_text('{"id": "1", "question": "What do bees make?"}\n')
    data = Folder(documents=str(documents), questions=str(tmp_path / "questions.jsonl")).read()
    assert [document.id for document in data.corpus.documents] == ["inside.txt", "same.txt"]
    assert any("2 links" in note and "link.txt, up" in note for note in data.notes)
