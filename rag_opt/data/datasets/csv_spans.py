"""Questions in a CSV file with a JSON column of spans, documents as text files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Corpus, Span
from rag_opt.core.errors import suggest_names
from rag_opt.core.questions import Dataset, Need, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.csv_files import read_csv
from rag_opt.data.datasets.files import DocumentFiles
from rag_opt.data.file_readers import FileReader
from rag_opt.data.printed import read_list
from rag_opt.data.reading import Located, Problems, check_questions


@register("dataset", "csv_spans")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class CsvSpans(DocumentFiles):
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

    @property
    def sources(self) -> tuple[str | None, str]:
        """Folder or file of the documents, and the file of questions."""
        return self.documents, self.questions

    def read(self, files: FileReader = FileReader(), *, lenient: bool = False) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with the documents and the questions."""
        problems, notes = Problems(), list[str]()
        corpus, _ = self.read_corpus(files, problems, notes)
        problems.raise_if_any()
        located = self._read_rows(corpus, problems)
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))

    def _read_rows(self, corpus: Corpus, problems: Problems) -> list[Located]:
        there, rows = read_csv(Path(self.questions), problems)
        columns = (self.question_column, self.document_column, self.spans_column)
        for column in columns:
            if there and column not in there:
                known = suggest_names(column, there)
                problems.add(f"{self.questions}:1", f"there is no column {column!r}{known}")
        problems.raise_if_any()
        ids = {Path(name).with_suffix("").as_posix(): name for name in corpus.ids}
        ids |= {name: name for name in corpus.ids}
        located = []
        for number, (where, row) in enumerate(rows, start=1):
            question, document, spans = (str(row[column] or "") for column in columns)
            if document not in ids:
                problems.add(where, f"there is no document {document!r}{suggest_names(document, ids)}")
                continue
            needs = _read_needs(spans, ids[document], corpus, where, problems)
            located.append((where, Question(f"row-{number}", question, evidence=needs or None)))
        return located


def _read_objects(raw: str) -> list[dict[str, Any]]:
    """Return the objects of a list, as JSON or Python writes it. Raises ValueError for anything else."""
    found = read_list(raw) if raw.strip() else []
    if not all(isinstance(one, dict) for one in found):
        raise ValueError("not a list of objects")
    return [one for one in found if isinstance(one, dict)]


def _read_needs(raw: str, document: str, corpus: Corpus, where: str, problems: Problems) -> tuple[Need, ...]:
    try:
        spans = [(int(one["start_index"]), int(one["end_index"]), one.get("content")) for one in _read_objects(raw)]
    except (KeyError, TypeError, ValueError) as error:
        problems.add(where, f"the spans are no list of start_index and end_index: {raw[:60]!r} ({error})")
        return ()
    text = corpus[document].text
    for start, end, content in spans:
        if not 0 <= start < end <= len(text):
            problems.add(where, f"[{start}, {end}) is not a span of {document!r}, which has {len(text)} characters")
        elif content is not None and text[start:end] != content:
            problems.add(where, f"{content[:60]!r} does not stand at [{start}, {end}) of {document!r}")
    return tuple(dict.fromkeys((Span(document, start, end),) for start, end, _ in spans))
