from __future__ import annotations

import ast
import csv
import io
import re
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Corpus, Document
from rag_opt.core.questions import Dataset, Need, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.datasets.folder import read_documents
from rag_opt.data.quotes import Resolver, normalize
from rag_opt.data.reading import Problems, check_questions, decode, json_lines, make_corpus

_HOP = re.compile(r"\A<\d+-hop>\s*")


@register("dataset", "ragas")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class RagasTestset:
    """A test set of ragas (`Testset.to_jsonl` or `to_csv`): `user_input`, `reference`, `reference_contexts`. Contexts
    are looked up in `documents` and become spans; without documents each distinct context is one.
    """

    name: str = "ragas"
    testset: str
    documents: str | None = None

    def read(self) -> Dataset:
        problems, notes = Problems(), list[str]()
        rows = _rows(Path(self.testset), problems)
        contexts = {
            where: [_HOP.sub("", str(one)) for one in row.get("reference_contexts") or []] for where, row in rows
        }
        problems.refuse_if_any()
        corpus = self._corpus(contexts, problems, notes)
        problems.refuse_if_any()
        resolver, found, lost = Resolver(corpus), [], 0
        for number, (where, row) in enumerate(rows, start=1):
            requires = _needs(contexts[where], resolver)
            if requires is None:
                lost += 1
                continue
            answer = str(row.get("reference") or "") or None
            kind = str(row.get("synthesizer_name") or "")
            question = Question(f"row-{number}", str(row["user_input"]), answer, requires or None, kind=kind)
            found.append((where, question))
        if lost:
            notes.append(f"{lost} questions have a context that stands in no document as it is; they were left out")
        check_questions(found, corpus, problems)
        problems.refuse_if_any()
        return Dataset(self.name, corpus, tuple(question for _, question in found), tuple(notes))

    def _corpus(self, contexts: dict[str, list[str]], problems: Problems, notes: list[str]) -> Corpus:
        if self.documents is not None:
            return make_corpus(read_documents(Path(self.documents), problems, notes), self.documents, problems)
        texts = dict.fromkeys(text for some in contexts.values() for text in some if text.strip())
        if not texts:
            problems.add("dataset.documents", "must be given: the test set has no reference_contexts to read instead")
        notes.append("no documents are given: each context of the test set is one, which is easier than your documents")
        named = (Document(f"context-{number:05}", text) for number, text in enumerate(texts, start=1))
        return make_corpus(named, self.testset, problems)


def _rows(path: Path, problems: Problems) -> list[tuple[str, dict[str, Any]]]:
    rows = _csv_rows(path, problems) if path.suffix.lower() == ".csv" else list(json_lines(path, problems))
    for where, row in rows:
        if not isinstance(row.get("user_input"), str):
            problems.add(where, "there is no question (user_input); conversations of several turns are not read")
    return rows


def _csv_rows(path: Path, problems: Problems) -> list[tuple[str, dict[str, Any]]]:
    """Lists stand in it as Python writes them."""
    text = decode(path, problems)
    rows = csv.DictReader(io.StringIO(text or "", newline=""))
    found = []
    for row in rows:
        where, read = f"{path}:{rows.line_num}", dict[str, Any](row)
        written = read.get("reference_contexts") or "[]"
        try:
            read["reference_contexts"] = ast.literal_eval(written)
        except (ValueError, SyntaxError):
            problems.add(where, f"reference_contexts is not a list: {written[:60]!r}")
            continue
        found.append((where, read))
    return found


def _needs(contexts: list[str], resolver: Resolver) -> tuple[Need, ...] | None:
    """A need per context, with every place where it stands; None where one stands nowhere."""
    requires: list[Need] = []
    for context in contexts:
        spans = resolver.quote(context) if normalize(context).text.strip() else []
        if not spans:
            return None
        requires.append(tuple(spans))
    return tuple(dict.fromkeys(requires))
