from __future__ import annotations

import csv
import io
from pathlib import Path

import orjson
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Corpus, Span
from rag_opt.core.errors import among
from rag_opt.core.questions import Dataset, Need, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.datasets.folder import read_documents
from rag_opt.data.reading import Problems, check_questions, decode, make_corpus


@register("dataset", "csv_spans")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class CsvSpans:
    """Questions in a CSV file; `spans_column` holds a JSON list of `{"start_index", "end_index", "content"}`.

    `document_column` names the file of `documents`, with or without its ending. Every span is one need.
    """

    name: str = "csv_spans"
    documents: str
    questions: str
    question_column: str = "question"
    document_column: str = "corpus_id"
    spans_column: str = "references"

    def read(self) -> Dataset:
        problems, notes = Problems(), list[str]()
        corpus = make_corpus(read_documents(Path(self.documents), problems, notes), self.documents, problems)
        text = decode(Path(self.questions), problems)
        problems.refuse_if_any()
        # text mode would change the line ends inside quoted fields
        rows = csv.DictReader(io.StringIO(text or "", newline=""))
        columns = (self.question_column, self.document_column, self.spans_column)
        for column in columns:
            if column not in (rows.fieldnames or ()):
                there = among(column, rows.fieldnames or ())
                problems.add(f"{self.questions}:1", f"there is no column {column!r}{there}")
        problems.refuse_if_any()
        names = {Path(name).with_suffix("").as_posix(): name for name in corpus.ids}
        names |= {name: name for name in corpus.ids}
        found = []
        for number, row in enumerate(rows, start=1):
            where = f"{self.questions}:{rows.line_num}"
            asked, document, spans = (row[column] or "" for column in columns)
            if document not in names:
                problems.add(where, f"there is no document {document!r}{among(document, names)}")
                continue
            requires = _needs(spans, names[document], corpus, where, problems)
            found.append((where, Question(f"row-{number}", asked, evidence=requires or None)))
        check_questions(found, corpus, problems)
        problems.refuse_if_any()
        return Dataset(self.name, corpus, tuple(question for _, question in found), tuple(notes))


def _needs(raw: str, document: str, corpus: Corpus, where: str, problems: Problems) -> tuple[Need, ...]:
    try:
        spans = [(int(one["start_index"]), int(one["end_index"]), one.get("content")) for one in orjson.loads(raw)]
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
