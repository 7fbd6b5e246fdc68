"""Questions in a CSV file with a JSON column of spans, documents as text files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated

import orjson
from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Corpus, Span
from rag_opt.core.errors import suggest_names
from rag_opt.core.questions import Dataset, Need, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.datasets.folder import read_documents
from rag_opt.data.reading import Located, Problems, build_corpus, check_questions, read_utf8_or_report


@register("dataset", "csv_spans")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class CsvSpans:
    """Questions in a CSV file, with their evidence as a JSON list of `{"start_index", "end_index", "content"}`.

    Every span is one need.
    """

    name: Annotated[str, Doc("Name of the data set.")] = "csv_spans"
    documents: Annotated[str, Doc("Folder of documents, or a `.jsonl` file of them.")]
    questions: Annotated[str, Doc("The CSV file.")]
    question_column: Annotated[str, Doc("Column with the text of the question.")] = "question"
    document_column: Annotated[str, Doc("Column with the document's file name, with or without its ending.")] = (
        "corpus_id"
    )
    spans_column: Annotated[str, Doc("Column with the list of spans; offsets in characters.")] = "references"

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with the documents and the questions."""
        problems, notes = Problems(), list[str]()
        corpus = build_corpus(read_documents(Path(self.documents), problems, notes), self.documents, problems)
        text = read_utf8_or_report(Path(self.questions), problems)
        problems.raise_if_any()
        located = self._read_rows(text or "", corpus, problems)
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))

    def _read_rows(self, text: str, corpus: Corpus, problems: Problems) -> list[Located]:
        # text mode would change the line ends inside quoted fields
        rows = csv.DictReader(io.StringIO(text, newline=""))
        columns = (self.question_column, self.document_column, self.spans_column)
        for column in columns:
            if column not in (rows.fieldnames or ()):
                known = suggest_names(column, rows.fieldnames or ())
                problems.add(f"{self.questions}:1", f"there is no column {column!r}{known}")
        problems.raise_if_any()
        ids = {Path(name).with_suffix("").as_posix(): name for name in corpus.ids}
        ids |= {name: name for name in corpus.ids}
        located = []
        for number, row in enumerate(rows, start=1):
            where = f"{self.questions}:{rows.line_num}"
            question, document, spans = (row[column] or "" for column in columns)
            if document not in ids:
                problems.add(where, f"there is no document {document!r}{suggest_names(document, ids)}")
                continue
            needs = _read_needs(spans, ids[document], corpus, where, problems)
            located.append((where, Question(f"row-{number}", question, evidence=needs or None)))
        return located


def _read_needs(raw: str, document: str, corpus: Corpus, where: str, problems: Problems) -> tuple[Need, ...]:
    try:
        spans = [(int(span["start_index"]), int(span["end_index"]), span.get("content")) for span in orjson.loads(raw)]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        problems.add(where, f"the spans are not a JSON list of start_index and end_index: {error}")
        return ()
    text = corpus[document].text
    for start, end, content in spans:
        if not 0 <= start < end <= len(text):
            problems.add(where, f"[{start}, {end}) is not a span of {document!r}, which has {len(text)} characters")
        elif content is not None and text[start:end] != content:
            problems.add(where, f"{content[:60]!r} does not stand at [{start}, {end}) of {document!r}")
    return tuple(dict.fromkeys((Span(document, start, end),) for start, end, _ in spans))
