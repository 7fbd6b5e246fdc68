"""Data sets in files of several formats: what is read of them, and every problem with its file and line."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path

import orjson
import pytest

from rag_opt.core.documents import Span
from rag_opt.core.errors import BadInput
from rag_opt.core.questions import WholeDocument
from rag_opt.data.datasets.beir import Beir
from rag_opt.data.datasets.csv_spans import CsvSpans
from rag_opt.data.datasets.folder import Folder
from rag_opt.data.datasets.squad import Squad
from rag_opt.data.html.reading import read_html
from rag_opt.data.printed import read_printed

SHARED = Path(__file__).parent.parent.parent.parent / "shared" / "data"


def folder(tmp_path: Path, documents: dict[str, bytes], questions: list[object]) -> Folder:
    for name, content in documents.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "docs").mkdir(exist_ok=True)
    lines = [line if isinstance(line, bytes) else orjson.dumps(line) for line in questions]
    (tmp_path / "q.jsonl").write_bytes(b"\n".join(lines))
    return Folder(documents=str(tmp_path / "docs"), questions=str(tmp_path / "q.jsonl"))


def refused(reader: Folder) -> str:
    with pytest.raises(BadInput) as error:
        reader.read()
    return str(error.value)


def test_a_folder_of_all_kinds(tmp_path: Path) -> None:
    body = "<h1>Head</h1><p>Some <b>bold</b> text.</p><script>x</script>"
    page = f"<html><head><title>t</title></head><body>{body}</body></html>"
    documents = {"a.md": "# A\r\nÄpfel\r\n".encode(), "sub/b.txt": b"plain", "c.html": page.encode(), "d.png": b"\x89"}
    read = folder(
        tmp_path, documents, [{"question": "What?", "evidence": [{"document": "a.md", "quote": "Äpfel and more"}]}]
    )
    said = refused(read)
    assert "does not stand in 'a.md'" in said
    questions = [
        {"id": "q", "question": "What?", "answer": "x", "evidence": [{"document": "a.md", "start": 5, "end": 10}]}
    ]
    data = folder(tmp_path, documents, questions).read()
    assert [d.id for d in data.corpus.documents] == ["a.md", "c.html", "sub/b.txt"]
    assert data.corpus["a.md"].text == "# A\r\nÄpfel\r\n"
    assert data.corpus["c.html"].text == "# Head\n\nSome bold text."
    assert data.corpus["sub/b.txt"].metadata == {"folder": "sub", "name": "b.txt"}
    assert data.corpus.text(data.questions[0].evidence[0][0]) == "Äpfel"  # type: ignore[index,arg-type]
    assert "1 files of" in data.notes[0]


def test_every_problem_is_listed_with_file_and_line(tmp_path: Path) -> None:
    documents = {"a.md": b"Alpha beta gamma delta.", "b.md": b"\xc3\xa4 ok \xff no"}
    said = refused(folder(tmp_path, documents, [{"question": "?"}]))
    assert "b.md: is not UTF-8: byte 0xff at offset 6" in said
    (tmp_path / "docs" / "b.md").unlink()
    questions: list[object] = [
        {"id": "one", "question": "First?", "evidence": ["Alpha beta"]},
        {"id": "one", "question": "Again?"},
        {"question": "Typo?", "answr": "x"},
        b"{not json",
        {"question": "Gone?", "evidence": ["Epsilon zeta"]},
        {"question": "Empty?", "evidence": []},
        {"question": "Both?", "answerable": False, "evidence": ["Alpha beta"]},
        {"question": "Filtered?", "filters": {"folder": "nowhere"}},
        {"question": " "},
        {"question": "Unreachable?", "evidence": ["Alpha beta"], "filters": {"name": "b.md"}},
    ]
    said = refused(folder(tmp_path, {"a.md": documents["a.md"], "b.md": b"Another document."}, questions))
    for line, expected in [
        (2, "the question id 'one' stands twice; first in"),
        (3, "there is no key 'answr'; did you mean 'answer'?"),
        (4, "is not JSON"),
        (5, "the quote does not stand in any document"),
        (6, "evidence is empty"),
        (7, "is marked unanswerable, but has evidence"),
        (8, "no document fits its filters"),
        (9, "the question is empty"),
        (10, "its filters {'name': 'b.md'} leave out where its evidence is: a.md"),
    ]:
        assert any(f"q.jsonl:{line}" in row and expected in row for row in said.split("\n")), (line, said)
    lines = [int(line) for line in re.findall(r"^\S+q\.jsonl:(\d+)", said, re.MULTILINE)]
    assert lines == sorted(lines), "a person goes through the file from its beginning"


def test_what_is_left_out_is_counted_by_its_reason(tmp_path: Path) -> None:
    files = {
        "a.md": b"Alpha", "b.txt": b" ", "c.bin": b"{}", "sub/d.bin": b"{}", "e": b"x", ".git/config": b"x",
        "sub/.env": b"x", "logs/f.log.txt": b"long", "node_modules/g.md": b"code", "sub/node_modules/h.md": b"code",
    }  # fmt: skip
    read = folder(tmp_path, files, [{"question": "?"}])
    read = dataclasses.replace(read, exclude=["*.log.txt", "*node_modules/*"])
    data = read.read()
    assert data.corpus.ids == ("a.md",)
    said = "\n".join(data.notes)
    for expected in (
        "3 files of", "format that is read: 2 .bin, 1 without an ending (c.bin, e, sub/d.bin; dataset.also",
        "3 files of", "by dataset.exclude",
        "2 files of", "are hidden and were left out: .git, .env", "hold no text and were left out", "b.txt",
    ):  # fmt: skip
        assert expected in said, (expected, said)
    alone = dataclasses.replace(read, documents=str(tmp_path / "docs" / "a.md"))
    assert alone.read().corpus.ids == ("a.md",) and not alone.read().notes


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    assert "there are no documents here" in refused(folder(tmp_path, {}, [{"question": "?"}]))


def test_a_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    data = folder(tmp_path, {"a.txt": b"\xef\xbb\xbfHello there"}, [{"question": "?"}]).read()
    assert data.corpus["a.txt"].text == "Hello there"


def test_documents_as_lines_with_metadata(tmp_path: Path) -> None:
    lines = [{"id": "x", "text": "One", "metadata": {"year": 2020}}, {"id": "x", "text": "Two"}]
    (tmp_path / "d.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    (tmp_path / "q.jsonl").write_bytes(orjson.dumps({"question": "?", "filters": {"year": 2020}}))
    reader = Folder(documents=str(tmp_path / "d.jsonl"), questions=str(tmp_path / "q.jsonl"))
    assert f"d.jsonl:2: the document id 'x' stands twice; first in {tmp_path / 'd.jsonl'}:1" in refused(reader)
    (tmp_path / "d.jsonl").write_bytes(orjson.dumps(lines[0]))
    assert reader.read().questions[0].filters == {"year": 2020}


def test_html_without_content_is_empty() -> None:
    assert read_html("").text == read_html("<!-- nothing -->").text == ""


def test_beir(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "1", "title": "T", "text": "body"}\n{"_id": "2", "text": "other"}')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "?"}\n{"_id": "r", "text": "?"}')
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t2\nq\t2\t0\n")
    data = Beir(folder=str(tmp_path)).read()
    assert data.corpus["1"].text == "T\n\nbody"
    assert data.questions[0].evidence == ((WholeDocument("1", 2),),)
    assert "1 queries have no judgement" in data.notes[0]
    (tmp_path / "qrels" / "test.tsv").write_text("q\t1\t1\nbroken\n")
    with pytest.raises(BadInput) as error:
        Beir(folder=str(tmp_path)).read()
    assert "test.tsv:2: should be query, document and score" in str(error.value)


@pytest.mark.parametrize(
    ("judged", "notes"),
    [
        ("q 0 1 2\nr 0 2 1\n", []),  # TREC's four columns
        ("whatever\tis\there\nq\t1\t2.0\nr\t2\t1.0\n", []),
        ("q\t1\t1\nq\t1\t2\nr\t2\t1\n", ["1 pairs were judged twice"]),
        ("q\t1\t2\nq\tgone\t1\nr\t2\t1\n", ["1 judgements name documents that the corpus lacks"]),
        ("q\t1\t2\nr\t2\t1\nx\t2\t1\n", ["1 queries of split 'test' have judgements and no text"]),
    ],
)
def test_judgements_as_they_are_published(judged: str, notes: list[str], tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    lines = [{"_id": "1", "text": "body"}, {"id": "2", "title": "", "text": "other"}, {"_id": "3", "text": " "}]
    (tmp_path / "corpus.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "?"}\n{"id": "r", "text": "!"}')
    (tmp_path / "qrels" / "test.tsv").write_text(judged)
    data = Beir(folder=str(tmp_path)).read()
    assert [q.evidence for q in data.questions] == [((WholeDocument("1", 2),),), ((WholeDocument("2", 1),),)]
    assert data.corpus.ids == ("1", "2") and "1 documents are empty and were left out: 3" in data.notes
    assert len(data.notes) == 1 + len(notes)
    assert all(any(note.startswith(wanted) for note in data.notes) for wanted in notes)


def test_queries_that_are_documents_are_said(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "q", "text": "?"}\n{"_id": "2", "text": "other"}')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "?"}')
    (tmp_path / "qrels" / "test.tsv").write_text("q\t2\t1\n")
    assert "1 of 1 queries have the id of a document" in Beir(folder=str(tmp_path)).read().notes[0]


CONTEXT = "The Eiffel Tower is in Paris. It was finished in 1889."


@pytest.mark.parametrize(
    ("answers", "span", "note"),
    [
        ({"text": ["Paris"], "answer_start": [23]}, (23, 28), ""),
        ([{"text": "Paris", "answer_start": 27}], (23, 28), "1 answers stand some characters beside their offset"),
        ([{"text": "1889"}], (49, 53), "1 answers have no offset"),
        ([{"text": "", "answer_start": 0}], None, "1 answers are empty"),
        ([], None, ""),
    ],
)
def test_answers_of_squad_in_other_forms(
    answers: object, span: tuple[int, int] | None, note: str, tmp_path: Path
) -> None:
    data = Squad(file=str(squad_file(tmp_path, answers))).read()
    expected = None if span is None else ((Span("T", *span),),)
    assert data.questions[0].evidence == expected
    assert data.notes == () if not note else note in data.notes[0]


@pytest.mark.parametrize("answers", [[{"text": "Rome", "answer_start": 23}], [7], [None], [{"text": 3}], {"text": [1]}])
def test_answers_that_are_none_are_refused_with_their_place(answers: object, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"data\[0\] paragraphs\[0\] a"):
        Squad(file=str(squad_file(tmp_path, answers))).read()


def squad_file(folder: Path, answers: object) -> Path:
    entry = {"id": "a", "question": "Where?", "answers": answers}
    article = {"title": "T", "paragraphs": [{"context": CONTEXT, "qas": [entry]}]}
    path = folder / "squad.json"
    path.write_bytes(orjson.dumps({"data": [article]}))
    return path


@pytest.mark.parametrize(
    ("printed", "read"),
    [
        ("[['1'], ['2']]", [["1"], ["2"]]),
        ("['a' 'b']", ["a", "b"]),
        ("array(['a', 'b'], dtype=object)", ["a", "b"]),
        ("[array(['a'], dtype=object) array(['b'], dtype=object)]", [["a"], ["b"]]),
        ('["a", "b"]', ["a", "b"]),
        ("{'a': 1}", {"a": 1}),
        ("a text", "a text"),
        ("[not a list", "[not a list"),
        (7, 7),
    ],
)
def test_lists_as_they_are_printed(printed: object, read: object) -> None:
    assert read_printed(printed) == read


def test_squad(tmp_path: Path) -> None:
    answers = [{"text": "Paris", "answer_start": 0}, {"text": "is", "answer_start": 6}]
    paragraphs = [
        {"context": "First one.", "qas": []},
        {
            "context": "Paris is big.",
            "qas": [
                {"id": "a", "question": "Where?", "answers": answers},
                {"id": "b", "question": "No?", "answers": [], "is_impossible": True},
            ],
        },
    ]
    (tmp_path / "s.json").write_bytes(orjson.dumps({"data": [{"title": "City", "paragraphs": paragraphs}]}))
    data = Squad(file=str(tmp_path / "s.json")).read()
    answered, impossible = data.questions
    assert answered.evidence == ((Span("City", 12, 17), Span("City", 18, 20)),)
    assert data.corpus.text(Span("City", 12, 17)) == answered.reference_answer == "Paris"
    assert not impossible.answerable and impossible.evidence is None


def test_csv_with_spans(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "alpha.md").write_text("Some text here.")
    with (tmp_path / "q.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["question", "references", "corpus_id"])
        rows.writerow(["A\nquestion?", '[{"content": "text", "start_index": 5, "end_index": 9}]', "alpha"])
    reader = CsvSpans(documents=str(tmp_path / "docs"), questions=str(tmp_path / "q.csv"))
    assert reader.read().questions[0].evidence == ((Span("alpha.md", 5, 9),),)
    with (tmp_path / "q.csv").open("a", newline="") as file:
        csv.writer(file).writerow(["B?", '[{"content": "nope", "start_index": 5, "end_index": 9}]', "alpha"])
        csv.writer(file).writerow(["C?", "[]", "alfa"])
    with pytest.raises(BadInput) as error:
        reader.read()
    assert "q.csv:4: 'nope' does not stand at [5, 9)" in str(error.value)
    assert "q.csv:5: there is no document 'alfa'; did you mean 'alpha'?" in str(error.value)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not beside this checkout")
def test_real_data_sets_are_read_whole() -> None:
    spans = SHARED / "chunking_evaluation"
    data = CsvSpans(documents=str(spans / "corpora"), questions=str(spans / "questions.csv")).read()
    assert (len(data.corpus.documents), len(data.questions)) == (5, 472)
    assert len(Squad(file=str(SHARED / "squad" / "dev-v2.0.json")).read().corpus.documents) == 35
    scifact = Beir(folder=str(SHARED / "scifact"), split="train").read()
    assert (len(scifact.corpus.documents), len(scifact.questions)) == (5183, 809)
