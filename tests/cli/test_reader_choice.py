"""A search in which the reader is a choice."""

from __future__ import annotations

from pathlib import Path

import orjson

from tests.cli.conftest import Command
from tests.documents.pdfs import columns_row_by_row, one_column


def test_the_reader_that_loses_less_wins(command: Command, workplace: Path) -> None:
    docs = workplace / "pdfs"
    docs.mkdir()
    lines = []
    for number in range(6):
        path = docs / f"{number}.pdf"
        labelled = columns_row_by_row(path, seed=20 + number) if number else one_column(path)
        quotes = [f"{one}." for one in labelled.words.split(". ") if one.startswith("The ")][1:3]
        lines += [
            {"question": f"What of {q.split(',')[0][4:]}?", "evidence": [{"quote": q, "document": path.name}]}
            for q in quotes
        ]
    (workplace / "pdf_questions.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    arguments = [
        "dataset=folder", "dataset.documents=pdfs", "dataset.questions=pdf_questions.jsonl", "dataset.language=en",
        "space.reader={builtin: {}, pypdf: {}}", "only.chunker=[recursive]", "only.retriever=[lexical]",
        "objective=evidence_recall", "study.trials=6", "study.name=readers", "tracking=none",
    ]  # fmt: skip
    done = command("search", *arguments)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "reader builtin keeps 12 of 12 needs of evidence" in said
    assert "reader pypdf keeps" in said and "what it lost counts as not found" in said
    result = orjson.loads((workplace / "outputs" / "readers" / "result.json").read_bytes())
    assert list(result["spec"]["reader"]) == ["builtin"], result["spec"]
    refused = command("check", "space.reader={pypdf: {}}", "tracking=none")
    assert "the documents of dataset.format=python_reference are no files" in " ".join(refused.stdout.split())
