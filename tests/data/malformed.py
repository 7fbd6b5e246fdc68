"""Files of questions as people have them: broken, half filled, in the form of last year's version, of another program.

Each has what must be said of it: a note where it is read, file and place where it is refused.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

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


def _squad(content: Content, **expected: Any) -> Case:
    return Case("squad", {"file": "s.json"}, {"s.json": content}, **expected)


def _beir(changes: dict[str, Content], **expected: Any) -> Case:
    return Case("beir", {"folder": "."}, {**BEIR, **changes}, **expected)


def _autorag(qa: list[Any], corpus: Content = PASSAGES, **expected: Any) -> Case:
    return Case(
        "autorag", {"corpus": "c.parquet", "qa": "q.parquet"}, {"c.parquet": corpus, "q.parquet": qa}, **expected
    )


def _testset(content: Content, name: str = "t.jsonl", *, documents: bool = True, **expected: Any) -> Case:
    settings = {"testset": name, **({"documents": "docs"} if documents else {})}
    return Case("testset", settings, {name: content, **DOCS}, **expected)


def _folder(content: Content, **expected: Any) -> Case:
    return Case("folder", {"documents": "docs", "questions": "q.jsonl"}, {"q.jsonl": content, **DOCS}, **expected)


def _spans(content: str, **expected: Any) -> Case:
    return Case("csv_spans", {"documents": "docs", "questions": "q.csv"}, {"q.csv": content, **DOCS}, **expected)


def _hotpot(rows: Any, **expected: Any) -> Case:
    return Case("hotpotqa", {"file": "h.json"}, {"h.json": rows}, **expected)


def _multihop(rows: Any, articles: Any = ARTICLES, **expected: Any) -> Case:
    files = {"c.json": articles, "m.json": rows}
    return Case("multihop_rag", {"corpus": "c.json", "questions": "m.json"}, files, **expected)


def _evidence(count: int) -> Callable[[Dataset], bool]:
    return lambda data: sum(len(question.evidence or ()) for question in data.questions) == count


def _answers(*expected: str) -> Callable[[Dataset], bool]:
    return lambda data: data.questions[0].right_answers == expected


def cases() -> Iterator[tuple[str, Case]]:
    """Yield every case with its name."""
    yield from ((f"squad: {name}", case) for name, case in _squads().items())
    yield from ((f"beir: {name}", case) for name, case in _beirs().items())
    yield from ((f"autorag: {name}", case) for name, case in _autorags().items())
    yield from ((f"test set: {name}", case) for name, case in _testsets().items())
    yield from ((f"own: {name}", case) for name, case in _own().items())
    yield from ((f"several hops: {name}", case) for name, case in _hops().items())


def _squads() -> dict[str, Case]:
    return {
        "nothing in it": _squad("", refused="s.json: is not JSON"),
        "no JSON": _squad("id,question\n", refused="s.json: is not JSON"),
        "UTF-16": _squad(json.dumps(squad()).encode("utf-16"), refused="s.json: is not UTF-8"),
        "byte order mark": _squad(b"\xef\xbb\xbf" + json.dumps(squad()).encode()),
        "a list": _squad([squad()], refused='a list "data" of articles'),
        "data is an object": _squad({"data": {"Bees": 1}}, refused='a list "data" of articles'),
        "an article is a text": _squad({"data": ["Bees"]}, refused="s.json data[0]"),
        "paragraphs are null": _squad(squad(paragraphs=None), refused="s.json data[0] paragraphs"),
        "a context is a number": _squad(squad(paragraphs=[{"context": 5, "qas": []}]), refused="paragraphs[0] context"),
        "questions are missing": _squad(squad(paragraphs=[{"context": TEXT}]), refused="paragraphs[0] qas"),
        "a question is null": _squad(squad([{"id": "1", "question": None}]), refused="qas[0] question"),
        "ids are numbers": _squad(squad([{"id": 7, "question": "Who?"}]), check=lambda d: d.questions[0].id == "7"),
        "no title": _squad(squad(title=None), check=lambda d: d.corpus.ids == ("article-0",)),
        "answers of the hub": _squad(answered({"text": ["A queen"], "answer_start": [36]}), check=_answers("A queen")),
        "answers as numpy prints them": _squad(
            answered("{'text': array(['A queen'], dtype=object), 'answer_start': array([36])}"),
            check=_answers("A queen"),
        ),
        "offsets three beside": _squad(answered([{"text": "A queen", "answer_start": 33}]), said="beside their offset"),
        "offsets far away": _squad(answered([{"text": "A queen", "answer_start": 2000}]), refused="nor near it"),
        "no offset": _squad(answered([{"text": "A queen"}]), said="have no offset"),
        "an empty answer": _squad(answered([{"text": "", "answer_start": 0}]), said="answers are empty"),
        "answers are a number": _squad(answered(5), refused="an answer is 5"),
        "several answers": _squad(
            answered([{"text": "A queen", "answer_start": 36}, {"text": "queen", "answer_start": 38}]),
            check=_answers("A queen", "queen"),
        ),
        "titles twice": _squad({"data": squad()["data"] * 2}, refused="the document id 'Bees' stands twice"),
        "impossible as a text": _squad(
            answered([], is_impossible="true"), check=lambda d: not d.questions[0].answerable
        ),
    }


def _beirs() -> dict[str, Case]:
    header = "query-id\tcorpus-id\tscore\n"
    return {
        "no queries": _beir({"queries.jsonl": ""}, refused="there are no questions"),
        "a query is null": _beir(
            {"queries.jsonl": lines({"_id": "a", "text": None})}, refused="queries.jsonl:1: the question is empty"
        ),
        "id instead of _id": _beir({"queries.jsonl": lines({"id": "a", "text": "Who?"})}),
        "ids are numbers": _beir(
            {"queries.jsonl": lines({"_id": 7, "text": "Who?"}), "qrels/test.tsv": "7\t1\t1\n"}, check=_evidence(1)
        ),
        "a document is empty": _beir(
            {"corpus.jsonl": f"{BEIR['corpus.jsonl']}\n" + lines({"_id": "3", "text": ""})},
            said="1 documents are empty",
        ),
        "a document is a list": _beir({"corpus.jsonl": "[1, 2]"}, refused="should be a JSON object"),
        "the corpus is an array": _beir({"corpus.jsonl": [{"_id": "1", "text": "They dance."}]}),
        "a document is judged that is missing": _beir(
            {"qrels/test.tsv": f"{header}a\t9\t1\na\t1\t1\n"}, said="name documents that the corpus lacks"
        ),
        "judged twice": _beir({"qrels/test.tsv": f"{header}a\t1\t1\na\t1\t2\n"}, said="pairs were judged twice"),
        "relevance with a point": _beir({"qrels/test.tsv": f"{header}a\t1\t1.0\n"}, check=_evidence(1)),
        "relevance in words": _beir({"qrels/test.tsv": f"{header}a\t1\thigh\n"}, refused="test.tsv:2"),
        "TREC's four columns": _beir({"qrels/test.tsv": "a 0 1 1\n"}, check=_evidence(1)),
        "another header": _beir({"qrels/test.tsv": "qid\tpid\tlabel\na\t1\t1\n"}, check=_evidence(1)),
        "two columns": _beir({"qrels/test.tsv": f"{header}a\t1\n"}, refused="test.tsv:2"),
        "no such split": Case("beir", {"folder": ".", "split": "dev"}, dict(BEIR), refused="dev.tsv: cannot be read"),
        "ids of queries are documents": _beir(
            {"queries.jsonl": lines({"_id": "1", "text": "They dance."}), "qrels/test.tsv": "1\t2\t1\n"},
            said="is never returned for them",
            check=lambda d: d.questions[0].exclude == ("1",),
        ),
        "ids that say what answers what": _beir(
            {"queries.jsonl": lines({"_id": "1", "text": "Who dances?"}), "qrels/test.tsv": "1\t1\t1\n"},
            check=lambda d: d.questions[0].exclude == () and _evidence(1)(d),
        ),
        "documents twice": _beir(
            {"corpus.jsonl": f"{BEIR['corpus.jsonl']}\n{BEIR['corpus.jsonl']}"}, refused="stands twice"
        ),
    }


def _autorags() -> dict[str, Case]:
    return {
        "no Parquet": _autorag([QA], b"doc_id,contents\n", refused="c.parquet: cannot be read as Parquet"),
        "a column is missing": _autorag([{"qid": "1", "query": "Who?"}], refused="there is no column 'retrieval_gt'"),
        "gold is flat": _autorag([{**QA, "retrieval_gt": ["p", "q"]}], check=_evidence(1)),
        "gold is one id": _autorag([{**QA, "retrieval_gt": "p"}], check=_evidence(1)),
        "gold as Python prints it": _autorag([{**QA, "retrieval_gt": "[['p'], ['q']]"}], check=_evidence(2)),
        "gold is null": _autorag(
            [QA, {**QA, "qid": "2", "retrieval_gt": None}], check=lambda d: not d.questions[1].answerable
        ),
        "gold that is no passage": _autorag(
            [{**QA, "retrieval_gt": [["x"]]}], refused="q.parquet:1: retrieval_gt names 'x'"
        ),
        "ids are numbers": _autorag(
            [{**QA, "qid": 1, "retrieval_gt": [[5]]}], [{"doc_id": 5, "contents": TEXT}], check=_evidence(1)
        ),
        "metadata is text": _autorag([QA], [{**p, "metadata": "{'page': 1}"} for p in PASSAGES]),
        "metadata is null": _autorag([QA], [{**p, "metadata": None} for p in PASSAGES]),
        "contents are null": _autorag([QA], [*PASSAGES, {"doc_id": "z", "contents": None}]),
        "answers are null": _autorag([{**QA, "generation_gt": None}], check=_answers()),
        "answers are one text": _autorag([{**QA, "generation_gt": "A queen."}], check=_answers("A queen.")),
        "several answers": _autorag(
            [{**QA, "generation_gt": ["A queen.", "Queens."]}], check=_answers("A queen.", "Queens.")
        ),
        "passages twice": _autorag([QA], [PASSAGES[0], PASSAGES[0]], refused="the doc_id 'p' stands twice"),
    }


def _testsets() -> dict[str, Case]:
    old = {"question": "Who lays eggs?", "ground_truth": "A queen.", "contexts": ["A queen lays eggs."]}
    header = "user_input,reference_contexts,reference\n"
    golden = {
        "input": "Who lays eggs?",
        "expected_output": "A queen.",
        "context": ["A queen lays eggs."],
        "actual_output": None,
    }
    rag = {"query": "Who lays eggs?", "reference_answer": "A queen.", "reference_contexts": ["A queen lays eggs."]}
    nodes = {
        "queries": {"q": "Who?"},
        "corpus": {"n1": "A queen lays eggs.", "n2": "Rivers."},
        "relevant_docs": {"q": ["n1"]},
    }
    large = '"' + "long " * 40_000 + '"'
    return {
        "an array": _testset([RAGAS], check=_evidence(1)),
        "no question": _testset(lines({"reference": "x"}), refused="t.jsonl:1: there is no question"),
        "several turns": _testset(lines({**RAGAS, "user_input": [{"content": "hi"}]}), refused="t.jsonl:1"),
        "null everywhere": _testset(
            lines({**RAGAS, "reference": None, "reference_contexts": None}), check=_evidence(0)
        ),
        "a context stands nowhere": _testset(
            lines(RAGAS, {**RAGAS, "reference_contexts": ["It is lost, all of it."]}),
            said="1 questions have a context that stands in no document",
        ),
        "ragas 0.1": _testset(lines(old), check=lambda d: _evidence(1)(d) and _answers("A queen.")(d)),
        "ragas 0.1, several truths": _testset(
            lines({**old, "ground_truths": ["A queen.", "Queens."], "ground_truth": None}),
            check=_answers("A queen.", "Queens."),
        ),
        "what a system retrieved": _testset(
            lines({**old, "answer": "It said so."}), said="a system retrieved", check=_evidence(0)
        ),
        "CSV as Python prints": _testset(
            f"{header}Who?,\"['A queen lays eggs.']\",A queen.\n", "t.csv", check=_evidence(1)
        ),
        "CSV as numpy prints": _testset(
            f"{header}Who?,\"array(['A queen lays eggs.' 'Rivers meander.'], dtype=object)\",x\n",
            "t.csv",
            check=_evidence(2),
        ),
        "CSV with semicolons": _testset(
            "user_input;reference_contexts;reference\nWho?;\"['A queen lays eggs.']\";x\n", "t.csv", check=_evidence(1)
        ),
        "CSV with a field of 200 kB": _testset(
            f"{header}Who?,\"['A queen lays eggs.']\",{large}\n", "t.csv", check=_evidence(1)
        ),
        "CSV with a short row": _testset(f"{header}Who?\n", "t.csv", refused="t.csv:2: has 2 fields fewer"),
        "CSV with a long row": _testset(f"{header}Who?,,x,y,z\n", "t.csv", refused="t.csv:2: has 2 fields more"),
        "an empty CSV": _testset("", "t.csv", refused="there are no questions"),
        "DeepEval": _testset([golden], "t.json", check=lambda d: _evidence(1)(d) and _answers("A queen.")(d)),
        "DeepEval in an object": _testset({"goldens": [golden]}, "t.json", check=_evidence(1)),
        "DeepEval's CSV": _testset(
            "input,expected_output,context\nWho?,x,A queen lays eggs.|Rivers meander.\nWhat?,y,\n",
            "t.csv",
            check=lambda d: _evidence(2)(d) and len(d.questions) == 2,
        ),
        "no answer of a system": _testset(lines({**old, "answer": None}), check=_evidence(1)),
        "an answer that looks like a list": _testset(lines({**RAGAS, "reference": "[1, 2]"}), check=_answers("[1, 2]")),
        "LlamaIndex": _testset({"examples": [rag]}, "t.json", check=_evidence(1)),
        "LlamaIndex's nodes": _testset(
            nodes, "t.json", documents=False, check=lambda d: d.questions[0].document_ids == {"n1"}
        ),
        "LlamaIndex's nodes in documents": _testset(nodes, "t.json", check=_evidence(1)),
        "a node is missing": _testset(
            {**nodes, "relevant_docs": {"q": ["n9"]}}, "t.json", refused="relevant_docs names 'n9'"
        ),
        "columns": _testset({key: [value] for key, value in RAGAS.items()}, "t.json", check=_evidence(1)),
        "columns of pandas": _testset(
            {key: {"0": value} for key, value in RAGAS.items()}, "t.json", check=_evidence(1)
        ),
        "an object of something else": _testset(
            {"version": 3}, "t.json", refused="t.json: should hold rows of questions"
        ),
        "half a file": _testset('[{"user_input": "Who', "t.json", refused="t.json: is not JSON"),
        "no documents and no contexts": _testset(
            lines({"user_input": "Who?"}), documents=False, refused="dataset.documents: must be given"
        ),
    }


def _own() -> dict[str, Case]:
    good = {"question": "Who lays eggs?", "evidence": ["A queen lays eggs."]}
    header = "question,corpus_id,references\n"
    return {
        "an array": _folder([good], check=_evidence(1)),
        "ids and answers are numbers": _folder(lines({**good, "id": 7, "answer": 42}), check=_answers("42")),
        "null for what is absent": _folder(
            lines({**good, "id": None, "answer": None, "answerable": None, "kind": None})
        ),
        "one piece of evidence without a list": _folder(
            lines({**good, "evidence": "A queen lays eggs."}), check=_evidence(1)
        ),
        "and as an object": _folder(lines({**good, "evidence": {"document": "a.txt"}}), check=_evidence(1)),
        "several right answers": _folder(
            lines({**good, "answer": ["A queen", "", "Queens"]}), check=_answers("A queen", "Queens")
        ),
        "further columns": _folder(lines({**good, "author": "me", "2024": 1}), said="left out: author, 2024"),
        "a mistyped key": _folder(
            lines({**good, "evidance": []} | {"evidence": None}),
            refused="q.jsonl:1.evidance: there is no key 'evidance'; did you mean 'evidence'?",
        ),
        "another program's key": _folder(
            lines({**good, "ground_truth": "A queen"}),
            refused="q.jsonl:1.ground_truth: there is no key 'ground_truth'; did you mean 'answer'?",
        ),
        "a question is a list": _folder(lines({"question": ["Who?"]}), refused="q.jsonl:1.question"),
        "nothing in it": _folder("", refused="there are no questions"),
        "a comma too many": _folder('{"question": "Who?",}', refused="q.jsonl:1: is not JSON"),
        "excluded by number": _folder(lines({**good, "exclude": [7]}), refused="excludes '7', which is no document"),
        "excluded is all that answers": _folder(
            lines({**good, "exclude": ["a.txt"]}), refused="excludes all that answers it: a.txt"
        ),
        "excluded is no document": _folder(
            lines({**good, "exclude": "b.txt"}), refused="excludes 'b.txt', which is no document"
        ),
        "evidence is a number": _folder(lines({**good, "evidence": 5}), refused="q.jsonl:1 evidence[0]"),
        "CSV spans as Python prints them": _spans(
            f"{header}Who?,a,\"[{{'start_index': 36, 'end_index': 43}}]\"\n", check=_evidence(1)
        ),
        "CSV spans that are none": _spans(f"{header}Who?,a,nonsense\n", refused="q.csv:2: the spans are no list"),
        "CSV spans with tabs": _spans("question\tcorpus_id\treferences\nWho?\ta\t[]\n", check=_evidence(0)),
        "CSV without a column": _spans(
            "question,references\nWho?,[]\n", refused="q.csv:1: there is no column 'corpus_id'"
        ),
    }


def _hops() -> dict[str, Case]:
    columns = {
        **HOTPOT,
        "context": {"title": ["Bees", "Rivers"], "sentences": [["They dance.", " They fly."], ["They flow."]]},
        "supporting_facts": {"title": ["Bees", "Rivers"], "sent_id": [1, 0]},
    }
    return {
        "HotpotQA": _hotpot(
            [HOTPOT],
            check=lambda d: [d.corpus.text(n[0]) for n in d.questions[0].evidence or ()] == ["They fly.", "They flow."],
        ),  # type: ignore[arg-type]
        "HotpotQA in columns": _hotpot(lines(columns), check=_evidence(2)),
        "a sentence that is not there": _hotpot(
            [{**HOTPOT, "supporting_facts": [["Bees", 9], ["Rivers", 0]]}],
            said="1 supporting sentences stand in no paragraph",
            check=_evidence(1),
        ),
        "a paragraph without sentences": _hotpot(
            [{**HOTPOT, "context": [["Bees"]]}], refused="h.json[1]: a paragraph of the context"
        ),
        "context is null": _hotpot([{**HOTPOT, "context": None}], refused="there are no documents here"),
        "MultiHop-RAG": _multihop(
            [ASKED], check=lambda d: d.corpus.text(d.questions[0].evidence[0][0]) == "A queen lays eggs."
        ),  # type: ignore[index,arg-type]
        "a fact that does not stand there": _multihop(
            [{**ASKED, "evidence_list": [{**FACT, "fact": "Queens are said to lay."}]}],
            said="whole articles count",
            check=_evidence(1),
        ),
        "an article that is missing": _multihop(
            [{**ASKED, "evidence_list": [{**FACT, "title": "X", "url": "y"}]}],
            refused="m.json[1]: evidence_list names 'X'",
        ),
        "a question without an answer": _multihop(
            [{**ASKED, "question_type": "null_query", "evidence_list": []}],
            check=lambda d: not d.questions[0].answerable,
        ),
        "an article without a body": _multihop(
            [ASKED], [{"title": "Bees", "body": None}], refused="c.json[1]: the article has no body"
        ),
    }
