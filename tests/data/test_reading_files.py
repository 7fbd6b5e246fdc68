"""Files read by readers: stored, limited, left out with a reason; encodings; evidence in several readings."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import orjson
import pytest

from rag_opt.core.documents import Block, Corpus, Document, Span
from rag_opt.core.errors import BadInput, NoText, Unreadable
from rag_opt.core.questions import LostPassage, PageOfDocument, Question, WholeDocument
from rag_opt.core.readings import Reading, ReadingNote, describe_pages
from rag_opt.core.structure import Structure
from rag_opt.data.datasets.folder import Folder
from rag_opt.data.decoding import decode
from rag_opt.data.evidence_in_readings import find_evidence
from rag_opt.data.file_readers import FileReader
from rag_opt.data.html.reading import read_html
from rag_opt.data.office.sheets import show_number
from rag_opt.data.question_lines import read_questions, to_question_line
from rag_opt.data.quotes import QuoteResolver
from rag_opt.data.reading import Problems
from rag_opt.data.reading_processes import Limits, Request, read_in_processes
from rag_opt.metrics.evidence import RetrievedSpans, score_evidence_recall
from rag_opt.store.values import MemoryValues


@dataclass(frozen=True)
class Misbehaving:
    """Reads a file as its text says: it sleeps, ends its process, takes memory, or fails."""

    suffixes: ClassVar[tuple[str, ...]] = (".bad",)
    libraries: ClassVar[tuple[str, ...]] = ()
    isolated: ClassVar[bool] = True
    slot: ClassVar[str] = "format"
    kind: ClassVar[str] = "misbehaving"

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        import os
        import time

        what = path.read_text()
        if what == "sleep":
            time.sleep(60)
        elif what == "die":
            os._exit(9)
        elif what == "grow":
            return Reading("x" * 3_000_000_000)
        elif what == "fail":
            raise ZeroDivisionError("of the library")
        print("what a library prints is no answer")
        return Reading(what)


def test_a_file_that_hangs_dies_or_grows_harms_no_other(tmp_path: Path) -> None:
    requests = []
    for number, what in enumerate(("fine", "sleep", "die", "grow", "fail", "also fine")):
        path = tmp_path / f"{number}.bad"
        path.write_text(what)
        requests.append(Request(path, Misbehaving(), None))
    read = list(read_in_processes(requests, Limits(seconds=2.0, memory_mb=1500)))
    assert isinstance(read[0], Reading) and read[0].text == "fine"
    assert "was not read within 2 s (dataset.max_seconds)" in str(read[1])
    assert "ended the process that read it (status 9)" in str(read[2])
    assert "wants more than 1500 MB of memory (dataset.max_memory_mb)" in str(read[3])
    assert "could not be read: ZeroDivisionError: of the library" in str(read[4])
    assert isinstance(read[5], Reading) and read[5].text == "also fine"


def test_what_was_read_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<h1>Bees</h1><p>make honey</p>")
    values, said = MemoryValues(), list[str]()
    files = FileReader(values=lambda: values, announce=said.append)
    (first,) = files.read_all([tmp_path / "a.html"])
    (tmp_path / "b.html").write_bytes((tmp_path / "a.html").read_bytes())
    (again,) = FileReader(values=lambda: values, limits=Limits(seconds=1e-9)).read_all([tmp_path / "b.html"])
    assert first == again and isinstance(first, Reading) and first.text == "# Bees\n\nmake honey"
    (tmp_path / "b.html").write_text("<p>changed</p>")
    (changed,) = FileReader(values=lambda: values, limits=Limits(seconds=1e-9)).read_all([tmp_path / "b.html"])
    assert isinstance(changed, Unreadable)


def questions_file(tmp_path: Path, *lines: object) -> str:
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    return str(path)


def test_files_that_cannot_be_read_come_in_one_list_or_are_left_out(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "good.md").write_text("Bees make honey.")
    (docs / "broken.pdf").write_bytes(b"%PDF-1.4 and nothing more")
    (docs / "broken.docx").write_bytes(b"PK half of an archive that was cut")
    (docs / "long.txt").write_text("word " * 1000)
    (docs / "picture.txt").write_bytes(b"\x89PNG\0\0\0")
    folder = Folder(documents=str(docs), questions=questions_file(tmp_path, {"question": "What?"}), max_characters=1000)
    with pytest.raises(BadInput) as error:
        folder.read()
    said = str(error.value)
    for wanted in ("broken.pdf: is no sound PDF", "broken.docx: is no sound DOCX", "has 5,000 characters, more than",
                   "dataset.on_error=skip leaves out"):  # fmt: skip
        assert wanted in said, said
    skipping = Folder(documents=str(docs), questions=folder.questions, max_characters=1000, on_error="skip").read()
    assert skipping.corpus.ids == ("good.md",)
    notes = "\n".join(skipping.notes)
    assert "3 files of" in notes and "cannot be read and were left out" in notes and "picture.txt" in notes


def test_evidence_in_files_that_were_left_out_is_one_problem_with_its_cause(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("Bees make honey.")
    (docs / "prices.xyz").write_text("rope 12")
    lines = [{"question": f"What {n}?", "evidence": [{"document": "prices.xyz"}]} for n in range(60)]
    with pytest.raises(BadInput) as error:
        Folder(documents=str(docs), questions=questions_file(tmp_path, *lines)).read()
    (problem,) = error.value.problems
    assert "60 questions have their evidence in files that were left out: prices.xyz (60;" in problem.what
    assert "dataset.also=[.xyz]" in problem.what


def test_the_questions_are_no_document_of_their_own_folder(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Bees make honey.")
    data = Folder(documents=str(tmp_path), questions=questions_file(tmp_path, {"question": "What?"})).read()
    assert data.corpus.ids == ("a.md",)


@pytest.mark.parametrize(
    ("content", "text", "guessed"),
    [
        ("Käse".encode("utf-8-sig"), "Käse", False),
        ("Käse".encode("utf-16"), "Käse", False),
        ("Käse, größer und älter: für fünf Euro".encode("cp1252"), "Käse, größer und älter: für fünf Euro", True),
        ("Москва и другие города России, в которых живут люди. ".encode("cp1251") * 3,
         "Москва и другие города России, в которых живут люди. " * 3, True),
        ('<meta charset="windows-1251">Привет'.encode("cp1251"), '<meta charset="windows-1251">Привет', False),
    ],
)  # fmt: skip
def test_encodings_are_seen_declared_or_guessed_with_a_note(content: bytes, text: str, guessed: bool) -> None:
    read, notes = decode(content, declares=True)
    assert read == text and bool(notes) == guessed


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(NoText):
        decode(b"MZ\0\0")
    with pytest.raises(Unreadable, match="byte 0xff at offset 2"):
        decode("ä".encode() + b"\xff")
    assert decode(b"\xe4", encoding="latin-1")[0] == "ä"


def test_a_zip_bomb_is_named_and_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.docx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_rels/.rels", "<Relationships/>")
        archive.writestr("word/document.xml", "<x>" + "a" * 150_000_000 + "</x>")
        archive.writestr("META-INF/container.xml", '<c><rootfile full-path="word/document.xml"/></c>')
    assert path.stat().st_size < 1_000_000
    (tmp_path / "bomb.epub").write_bytes(path.read_bytes())
    reading = list(FileReader(limits=Limits(20, 1500)).read_all([tmp_path / "bomb.epub"]))
    assert isinstance(reading[0], Unreadable) and "unpacks to more than 100 MB" in str(reading[0])


@pytest.mark.parametrize("element", ["table><tr><td", "div", "span", "ul><li", "blockquote"])
def test_a_page_that_is_nested_without_end_is_read_as_far_as_it_goes(element: str) -> None:
    page = f"<p>before</p>{f'<{element}>' * 3000}deep"
    reading = read_html(page)
    assert reading.text.startswith("before")
    assert "deep" in reading.text or any("lie in more than" in note.what for note in reading.notes)


def test_a_password_is_said(tmp_path: Path) -> None:
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen import canvas

    page = canvas.Canvas(str(tmp_path / "a.pdf"), encrypt=StandardEncryption("secret"))
    page.drawString(50, 500, "locked")
    page.save()
    (read,) = FileReader().read_all([tmp_path / "a.pdf"])
    assert isinstance(read, Unreadable) and str(read) == "is locked by a password"


def test_pages_are_written_as_people_write_them() -> None:
    assert describe_pages([2, 3, 4, 9, 6, 5]) == "2-6, 9"


def paged() -> Document:
    text = "First page here.\n\nSecond page says more.\n\nA note."
    blocks = (Block("heading", 0, 16, 1), Block("paragraph", 18, 40), Block("footnote", 42, 49))
    return Document("a.pdf", text, blocks=blocks, pages=((0, 1), (18, 2), (42, 1)))


def test_an_offset_has_a_page_and_headings() -> None:
    structure = Structure.of(paged())
    assert [structure.page(offset) for offset in (0, 17, 18, 41, 45)] == [1, 1, 2, 2, 1]
    assert structure.page_spans(1) == [(0, 18), (42, 49)] and structure.headings(20) == ("First page here.",)


def resolve(folder: Path, document: Document, *evidence: object) -> tuple[list[Question], Problems]:
    problems = Problems()
    path = Path(questions_file(folder, {"question": "What?", "evidence": list(evidence)}))
    located = read_questions(path, QuoteResolver(Corpus((document,))), problems)
    return [question for _, question in located], problems


def test_evidence_may_name_a_page(tmp_path: Path) -> None:
    (question,), _ = resolve(tmp_path, paged(), {"document": "a.pdf", "page": 1})
    assert question.evidence == ((PageOfDocument("a.pdf", 1, 0, 18), PageOfDocument("a.pdf", 1, 42, 49)),)
    assert to_question_line(question)["evidence"] == [[{"document": "a.pdf", "page": 1}] * 2]
    corpus = Corpus((paged(), Document("b", "other")))
    hits = RetrievedSpans(*(columns.reshape(1, -1) for columns in _columns((1, 0, 5), (0, 30, 44))))
    assert score_evidence_recall(hits, [question], corpus).tolist() == [1.0], "touching the page is enough"
    elsewhere = RetrievedSpans(*(columns.reshape(1, -1) for columns in _columns((1, 0, 5), (0, 20, 40))))
    assert score_evidence_recall(elsewhere, [question], corpus).tolist() == [0.0]
    _, problems = resolve(tmp_path, paged(), {"document": "a.pdf", "page": 7})
    assert "page 7 of 'a.pdf' has no text; pages with text are 1-2" in problems.collected[0].what


def _columns(*hits: tuple[int, int, int]) -> Iterator[object]:
    import numpy as np

    for column in zip(*hits, strict=True):
        yield np.array(column, np.int64)


def test_evidence_is_found_in_another_reading_by_its_words() -> None:
    base = Corpus((
        Document("a.pdf", "The ferry leaves at noon. The valve opens by itself at 4.2 bar. Nobody is there."),
        Document("b.pdf", "Only the first reader has this sentence about the lighthouse."),
    ))  # fmt: skip
    other = Corpus(
        (Document("a.pdf", "## Times\n\nThe ferry leaves at noon.\nThe valve  opens by itself at 4,2 bar."),)
    )
    questions = [
        Question("verbatim", "?", evidence=((Span("a.pdf", 0, 25),),)),
        Question("nearly", "?", evidence=((Span("a.pdf", 26, 63),),)),
        Question("lost", "?", evidence=((Span("b.pdf", 0, 40),), (Span("a.pdf", 0, 25),))),
        Question("document", "?", evidence=((WholeDocument("b.pdf"), WholeDocument("a.pdf")),)),
    ]
    reading = find_evidence(questions, base, other)
    text = other["a.pdf"].text
    (need,) = reading.evidence["verbatim"]
    assert isinstance(need[0], Span) and text[need[0].start : need[0].end] == "The ferry leaves at noon."
    (need,) = reading.evidence["nearly"]
    assert isinstance(need[0], Span) and text[need[0].start : need[0].end].startswith("The valve  opens by itself")
    assert isinstance(reading.evidence["lost"][0][0], LostPassage)
    assert reading.evidence["document"] == ((WholeDocument("a.pdf"),),)
    assert (reading.kept, reading.needs, dict(reading.lost_in)) == (4, 5, {"b.pdf": 1})
    lost = Question("lost", "?", evidence=reading.evidence["lost"])
    hits = RetrievedSpans(*(columns.reshape(1, -1) for columns in _columns((0, 0, len(text)))))
    assert score_evidence_recall(hits, [lost], other)[0] == pytest.approx(25 / 65), "what is lost counts as not found"


def test_notes_of_readings_survive_their_storage() -> None:
    reading = Reading(
        "a b", (Block("table", 0, 3, header_end=2),), ((0, 1),), "t", (ReadingNote("x", (1,), 2, "y"),), 3
    )
    assert Reading.from_bytes(reading.to_bytes()) == reading


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (1234.5, '#,##0.00 "EUR"', "1,234.50 EUR"), (2.4, "0.00", "2.40"), (0.25, "0%", "25%"), (7, '"No. "0', "No. 7"),
        (1234.5, "[$€-407] #,##0.00", "€ 1,234.50"), (3.14159, "0.0E+00", "3.14159"),
    ],
)  # fmt: skip
def test_numbers_of_a_sheet_are_read_as_they_are_shown(value: float, number_format: str, shown: str) -> None:
    assert show_number(value, number_format) == shown


def test_why_there_is_no_document_is_said(tmp_path: Path) -> None:
    (tmp_path / "old.doc").write_bytes(b"\xd0\xcf\x11\xe0")
    folder = Folder(documents=str(tmp_path / "old.doc"), questions=questions_file(tmp_path, {"question": "What?"}))
    with pytest.raises(BadInput, match=r"of no format that is read: 1 \.doc \(old\.doc; \.doc: save it as \.docx\)"):
        folder.read()
