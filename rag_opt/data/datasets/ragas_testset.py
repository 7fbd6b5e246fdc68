"""Test sets that ragas generated."""

from __future__ import annotations

import ast
import csv
import io
import re
from pathlib import Path
from typing import Annotated, TypedDict

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Corpus, Document
from rag_opt.core.questions import Dataset, Need, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.datasets.folder import read_documents
from rag_opt.data.quotes import QuoteResolver
from rag_opt.data.reading import (
    JsonObject,
    Located,
    Problems,
    build_corpus,
    check_questions,
    read_json_lines,
    read_utf8_or_report,
)

_HOP = re.compile(r"\A<\d+-hop>\s*")


class _Sample(TypedDict):
    """One row, as far as it is used."""

    where: str
    question: str
    answer: str | None
    contexts: list[str]
    kind: str


@register("dataset", "ragas")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class RagasTestset:
    """A test set of ragas (`Testset.to_jsonl` or `to_csv`): `user_input`, `reference`, `reference_contexts`.

    Contexts are looked up in the documents and become spans; without documents each distinct context is one.
    """

    name: Annotated[str, Doc("Name of the data set.")] = "ragas"
    testset: Annotated[str, Doc("The `.jsonl` or `.csv` file.")]
    documents: Annotated[str | None, Doc("Folder or `.jsonl` file of the documents that it was made from.")] = None

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with the test set and the documents."""
        problems, notes = Problems(), list[str]()
        samples = [_to_sample(where, row) for where, row in _read_rows(Path(self.testset), problems)]
        problems.raise_if_any()
        corpus = self._build_corpus(samples, problems, notes)
        problems.raise_if_any()
        resolver, located, lost = QuoteResolver(corpus), list[Located](), 0
        for number, sample in enumerate(samples, start=1):
            needs = _find_needs(sample["contexts"], resolver)
            if needs is None:
                lost += 1
                continue
            question = Question(
                f"row-{number}", sample["question"], sample["answer"], needs or None, kind=sample["kind"]
            )
            located.append((sample["where"], question))
        if lost:
            notes.append(f"{lost} questions have a context that stands in no document as it is; they were left out")
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        notes += resolver.notes()
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))

    def _build_corpus(self, samples: list[_Sample], problems: Problems, notes: list[str]) -> Corpus:
        if self.documents is not None:
            return build_corpus(read_documents(Path(self.documents), problems, notes), self.documents, problems)
        texts = dict.fromkeys(text for sample in samples for text in sample["contexts"] if text.strip())
        if not texts:
            problems.add("dataset.documents", "must be given: the test set has no reference_contexts to read instead")
        notes.append("no documents are given: each context of the test set is one, which is easier than your documents")
        named = (Document(f"context-{number:05}", text) for number, text in enumerate(texts, start=1))
        return build_corpus(named, self.testset, problems)


def _to_sample(where: str, row: JsonObject) -> _Sample:
    contexts = row.get("reference_contexts") or []
    contexts = contexts if isinstance(contexts, (list, tuple)) else [contexts]
    return {
        "where": where,
        "question": str(row.get("user_input")),
        "answer": str(row.get("reference") or "") or None,
        "contexts": [_HOP.sub("", str(context)) for context in contexts],
        "kind": str(row.get("synthesizer_name") or ""),
    }


def _read_rows(path: Path, problems: Problems) -> list[tuple[str, JsonObject]]:
    rows = _read_csv(path, problems) if path.suffix.lower() == ".csv" else list(read_json_lines(path, problems))
    for where, row in rows:
        if not isinstance(row.get("user_input"), str):
            problems.add(where, "there is no question (user_input); conversations of several turns are not read")
    return rows


def _read_csv(path: Path, problems: Problems) -> list[tuple[str, JsonObject]]:
    """Return the rows of a CSV file, in which lists stand as Python writes them."""
    text = read_utf8_or_report(path, problems)
    reader = csv.DictReader(io.StringIO(text or "", newline=""))
    rows = []
    for row in reader:
        where, contexts = f"{path}:{reader.line_num}", row.get("reference_contexts") or "[]"
        try:
            rows.append((where, JsonObject(row) | {"reference_contexts": ast.literal_eval(contexts)}))
        except (ValueError, SyntaxError):
            problems.add(where, f"reference_contexts is not a list: {contexts[:60]!r}")
    return rows


def _find_needs(contexts: list[str], resolver: QuoteResolver) -> tuple[Need, ...] | None:
    """Return a need per context, with every place where it stands; None where one stands nowhere."""
    needs: list[Need] = []
    for context in contexts:
        spans = resolver.find(context)
        if not spans:
            return None
        needs.append(tuple(spans))
    return tuple(dict.fromkeys(needs))
