"""Data sets of a few lines in the forms that people have them in, and what must be said of each.

A note where it is read, file and place where it is refused.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from rag_opt.core.documents import Span
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import lookup

TEXT = "Bees dance to tell where nectar is. A queen lays eggs. Rivers meander. The Danube is long."
Content = bytes | str | list[Any] | dict[str, Any]


@dataclass
class Case:
    """Files of one data set. `said`: part of a note; `refused`: part of what is refused, with its place."""

    reader: str
    settings: dict[str, Any]
    files: dict[str, Content]
    said: str = ""
    refused: str = ""
    check: Callable[[Dataset], bool] = field(default=lambda data: bool(data.questions))

    def read(self, folder: Path) -> Dataset:
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(as_bytes(content, parquet=name.endswith(".parquet")))
        given = {key: str(folder / value) if key in _PATHS else value for key, value in self.settings.items()}
        dataset: Dataset = lookup("dataset", self.reader)(**given).read()
        return dataset


_PATHS = ("file", "folder", "corpus", "qa", "testset", "documents", "questions", "log")


def as_bytes(content: Content, *, parquet: bool) -> bytes:
    if isinstance(content, bytes):
        return content
    if parquet and isinstance(content, list):
        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), file)
        return file.getvalue()
    return content.encode() if isinstance(content, str) else json.dumps(content).encode()


def lines(*rows: Any) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def squad(qas: Any = None, **changes: Any) -> dict[str, Any]:
    entry = {"id": "1", "question": "Who lays eggs?", "answers": [{"text": "A queen", "answer_start": 36}]}
    paragraph = {"context": TEXT, "qas": [entry] if qas is None else qas}
    return {"data": [{"title": "Bees", "paragraphs": [paragraph], **changes}]}


def answered(answers: Any, **more: Any) -> dict[str, Any]:
    return squad([{"id": "1", "question": "Who lays eggs?", "answers": answers, **more}])


BEIR: dict[str, Content] = {
    "corpus.jsonl": lines({"_id": "1", "title": "Bees", "text": "They dance."}, {"_id": "2", "text": "Rivers flow."}),
    "queries.jsonl": lines({"_id": "a", "text": "Who dances?"}),
    "qrels/test.tsv": "query-id\tcorpus-id\tscore\na\t1\t1\n",
}
PASSAGES = [{"doc_id": "p", "contents": TEXT[:54]}, {"doc_id": "q", "contents": TEXT[54:]}]
QA = {"qid": "1", "query": "Who lays eggs?", "retrieval_gt": [["p"]], "generation_gt": ["A queen."]}
RAGAS = {"user_input": "Who lays eggs?", "reference": "A queen.", "reference_contexts": ["A queen lays eggs."]}
DOCS: dict[str, Content] = {"docs/a.txt": TEXT}
HOTPOT = {
    "_id": "h",
    "question": "Which?",
    "answer": "Both.",
    "type": "bridge",
    "context": [["Bees", ["They dance.", " They fly."]], ["Rivers", ["They flow."]]],
    "supporting_facts": [["Bees", 1], ["Rivers", 0]],
}
ARTICLES = [{"title": "Bees", "url": "http://a", "body": TEXT, "source": "Daily"}]
FACT = {"title": "Bees", "url": "http://a", "fact": "A queen lays eggs."}
ASKED = {"query": "Who?", "answer": "A queen", "question_type": "inference_query", "evidence_list": [FACT]}


def squad_case(content: Content, **expected: Any) -> Case:
    return Case("squad", {"file": "s.json"}, {"s.json": content}, **expected)


def beir_case(changes: dict[str, Content], **expected: Any) -> Case:
    return Case("beir", {"folder": "."}, {**BEIR, **changes}, **expected)


def autorag_case(qa: list[Any], corpus: Content = PASSAGES, **expected: Any) -> Case:
    return Case(
        "autorag", {"corpus": "c.parquet", "qa": "q.parquet"}, {"c.parquet": corpus, "q.parquet": qa}, **expected
    )


def testset_case(content: Content, name: str = "t.jsonl", *, documents: bool = True, **expected: Any) -> Case:
    settings = {"testset": name, **({"documents": "docs"} if documents else {})}
    return Case("testset", settings, {name: content, **DOCS}, **expected)


def folder_case(content: Content, **expected: Any) -> Case:
    return Case("folder", {"documents": "docs", "questions": "q.jsonl"}, {"q.jsonl": content, **DOCS}, **expected)


def spans_case(content: str, **expected: Any) -> Case:
    return Case("csv_spans", {"documents": "docs", "questions": "q.csv"}, {"q.csv": content, **DOCS}, **expected)


def hotpot_case(rows: Any, **expected: Any) -> Case:
    return Case("hotpotqa", {"file": "h.json"}, {"h.json": rows}, **expected)


def multihop_case(rows: Any, articles: Any = ARTICLES, **expected: Any) -> Case:
    files = {"c.json": articles, "m.json": rows}
    return Case("multihop_rag", {"corpus": "c.json", "questions": "m.json"}, files, **expected)


def has_needs(count: int) -> Callable[[Dataset], bool]:
    return lambda data: sum(len(question.evidence or ()) for question in data.questions) == count


def has_answers(*expected: str) -> Callable[[Dataset], bool]:
    return lambda data: data.questions[0].right_answers == expected


def rests_on(*expected: str) -> Callable[[Dataset], bool]:
    """The first question rests on these texts, one a need."""

    def check(data: Dataset) -> bool:
        firsts = [need[0] for need in data.questions[0].evidence or ()]
        return tuple(data.corpus.text(one) for one in firsts if isinstance(one, Span)) == expected

    return check
