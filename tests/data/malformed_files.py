"""Files of questions as people have them: broken, half filled, of last year's version, of another program."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.data.malformed import (
    ASKED,
    BEIR,
    FACT,
    HOTPOT,
    PASSAGES,
    QA,
    RAGAS,
    TEXT,
    Case,
    answered,
    autorag_case,
    beir_case,
    folder_case,
    has_answers,
    has_needs,
    hotpot_case,
    lines,
    multihop_case,
    rests_on,
    spans_case,
    squad,
    squad_case,
    testset_case,
)


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
        "nothing in it": squad_case("", refused="s.json: is not JSON"),
        "no JSON": squad_case("id,question\n", refused="s.json: is not JSON"),
        "UTF-16": squad_case(json.dumps(squad()).encode("utf-16"), refused="s.json: is not UTF-8"),
        "byte order mark": squad_case(b"\xef\xbb\xbf" + json.dumps(squad()).encode()),
        "a list": squad_case([squad()], refused='a list "data" of articles'),
        "data is an object": squad_case({"data": {"Bees": 1}}, refused='a list "data" of articles'),
        "an article is a text": squad_case({"data": ["Bees"]}, refused="s.json data[0]"),
        "paragraphs are null": squad_case(squad(paragraphs=None), refused="s.json data[0] paragraphs"),
        "a context is a number": squad_case(
            squad(paragraphs=[{"context": 5, "qas": []}]), refused="paragraphs[0] context"
        ),
        "questions are missing": squad_case(squad(paragraphs=[{"context": TEXT}]), refused="paragraphs[0] qas"),
        "a question is null": squad_case(squad([{"id": "1", "question": None}]), refused="qas[0] question"),
        "ids are numbers": squad_case(squad([{"id": 7, "question": "Who?"}]), check=lambda d: d.questions[0].id == "7"),
        "no title": squad_case(squad(title=None), check=lambda d: d.corpus.ids == ("article-0",)),
        "answers of the hub": squad_case(
            answered({"text": ["A queen"], "answer_start": [36]}), check=has_answers("A queen")
        ),
        "answers as numpy prints them": squad_case(
            answered("{'text': array(['A queen'], dtype=object), 'answer_start': array([36])}"),
            check=has_answers("A queen"),
        ),
        "offsets three beside": squad_case(
            answered([{"text": "A queen", "answer_start": 33}]), said="beside their offset"
        ),
        "offsets far away": squad_case(answered([{"text": "A queen", "answer_start": 2000}]), refused="nor near it"),
        "no offset": squad_case(answered([{"text": "A queen"}]), said="have no offset"),
        "an empty answer": squad_case(answered([{"text": "", "answer_start": 0}]), said="answers are empty"),
        "answers are a number": squad_case(answered(5), refused="an answer is 5"),
        "several answers": squad_case(
            answered([{"text": "A queen", "answer_start": 36}, {"text": "queen", "answer_start": 38}]),
            check=has_answers("A queen", "queen"),
        ),
        "titles twice": squad_case({"data": squad()["data"] * 2}, refused="the document id 'Bees' stands twice"),
        "impossible as a text": squad_case(
            answered([], is_impossible="true"), check=lambda d: not d.questions[0].answerable
        ),
    }


def _beirs() -> dict[str, Case]:
    header = "query-id\tcorpus-id\tscore\n"
    return {
        "no queries": beir_case({"queries.jsonl": ""}, refused="there are no questions"),
        "a query is null": beir_case(
            {"queries.jsonl": lines({"_id": "a", "text": None})}, refused="queries.jsonl:1: the question is empty"
        ),
        "id instead of _id": beir_case({"queries.jsonl": lines({"id": "a", "text": "Who?"})}),
        "ids are numbers": beir_case(
            {"queries.jsonl": lines({"_id": 7, "text": "Who?"}), "qrels/test.tsv": "7\t1\t1\n"}, check=has_needs(1)
        ),
        "a document is empty": beir_case(
            {"corpus.jsonl": f"{BEIR['corpus.jsonl']}\n" + lines({"_id": "3", "text": ""})},
            said="1 documents are empty",
        ),
        "a document is a list": beir_case({"corpus.jsonl": "[1, 2]"}, refused="should be a JSON object"),
        "the corpus is an array": beir_case({"corpus.jsonl": [{"_id": "1", "text": "They dance."}]}),
        "a document is judged that is missing": beir_case(
            {"qrels/test.tsv": f"{header}a\t9\t1\na\t1\t1\n"}, said="name documents that the corpus lacks"
        ),
        "judged twice": beir_case({"qrels/test.tsv": f"{header}a\t1\t1\na\t1\t2\n"}, said="pairs were judged twice"),
        "relevance with a point": beir_case({"qrels/test.tsv": f"{header}a\t1\t1.0\n"}, check=has_needs(1)),
        "relevance in words": beir_case({"qrels/test.tsv": f"{header}a\t1\thigh\n"}, refused="test.tsv:2"),
        "TREC's four columns": beir_case({"qrels/test.tsv": "a 0 1 1\n"}, check=has_needs(1)),
        "another header": beir_case({"qrels/test.tsv": "qid\tpid\tlabel\na\t1\t1\n"}, check=has_needs(1)),
        "two columns": beir_case({"qrels/test.tsv": f"{header}a\t1\n"}, refused="test.tsv:2"),
        "no such split": Case("beir", {"folder": ".", "split": "dev"}, dict(BEIR), refused="dev.tsv: cannot be read"),
        "ids of queries are documents": beir_case(
            {"queries.jsonl": lines({"_id": "1", "text": "They dance."}), "qrels/test.tsv": "1\t2\t1\n"},
            said="is never returned for them",
            check=lambda d: d.questions[0].exclude == ("1",),
        ),
        "ids that say what answers what": beir_case(
            {"queries.jsonl": lines({"_id": "1", "text": "Who dances?"}), "qrels/test.tsv": "1\t1\t1\n"},
            check=lambda d: d.questions[0].exclude == () and has_needs(1)(d),
        ),
        "documents twice": beir_case(
            {"corpus.jsonl": f"{BEIR['corpus.jsonl']}\n{BEIR['corpus.jsonl']}"}, refused="stands twice"
        ),
    }


def _autorags() -> dict[str, Case]:
    return {
        "no Parquet": autorag_case([QA], b"doc_id,contents\n", refused="c.parquet: cannot be read as Parquet"),
        "a column is missing": autorag_case(
            [{"qid": "1", "query": "Who?"}], refused="there is no column 'retrieval_gt'"
        ),
        "gold is flat": autorag_case([{**QA, "retrieval_gt": ["p", "q"]}], check=has_needs(1)),
        "gold is one id": autorag_case([{**QA, "retrieval_gt": "p"}], check=has_needs(1)),
        "gold as Python prints it": autorag_case([{**QA, "retrieval_gt": "[['p'], ['q']]"}], check=has_needs(2)),
        "gold is null": autorag_case(
            [QA, {**QA, "qid": "2", "retrieval_gt": None}], check=lambda d: not d.questions[1].answerable
        ),
        "gold that is no passage": autorag_case(
            [{**QA, "retrieval_gt": [["x"]]}], refused="q.parquet:1: retrieval_gt names 'x'"
        ),
        "ids are numbers": autorag_case(
            [{**QA, "qid": 1, "retrieval_gt": [[5]]}], [{"doc_id": 5, "contents": TEXT}], check=has_needs(1)
        ),
        "metadata is text": autorag_case([QA], [{**p, "metadata": "{'page': 1}"} for p in PASSAGES]),
        "metadata is null": autorag_case([QA], [{**p, "metadata": None} for p in PASSAGES]),
        "contents are null": autorag_case([QA], [*PASSAGES, {"doc_id": "z", "contents": None}]),
        "answers are null": autorag_case([{**QA, "generation_gt": None}], check=has_answers()),
        "answers are one text": autorag_case([{**QA, "generation_gt": "A queen."}], check=has_answers("A queen.")),
        "several answers": autorag_case(
            [{**QA, "generation_gt": ["A queen.", "Queens."]}], check=has_answers("A queen.", "Queens.")
        ),
        "passages twice": autorag_case([QA], [PASSAGES[0], PASSAGES[0]], refused="the doc_id 'p' stands twice"),
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
        "an array": testset_case([RAGAS], check=has_needs(1)),
        "no question": testset_case(lines({"reference": "x"}), refused="t.jsonl:1: there is no question"),
        "several turns": testset_case(lines({**RAGAS, "user_input": [{"content": "hi"}]}), refused="t.jsonl:1"),
        "null everywhere": testset_case(
            lines({**RAGAS, "reference": None, "reference_contexts": None}), check=has_needs(0)
        ),
        "a context stands nowhere": testset_case(
            lines(RAGAS, {**RAGAS, "reference_contexts": ["It is lost, all of it."]}),
            said="1 questions have a context that stands in no document",
        ),
        "ragas 0.1": testset_case(lines(old), check=lambda d: has_needs(1)(d) and has_answers("A queen.")(d)),
        "ragas 0.1, several truths": testset_case(
            lines({**old, "ground_truths": ["A queen.", "Queens."], "ground_truth": None}),
            check=has_answers("A queen.", "Queens."),
        ),
        "what a system retrieved": testset_case(
            lines({**old, "answer": "It said so."}), said="a system retrieved", check=has_needs(0)
        ),
        "CSV as Python prints": testset_case(
            f"{header}Who?,\"['A queen lays eggs.']\",A queen.\n", "t.csv", check=has_needs(1)
        ),
        "CSV as numpy prints": testset_case(
            f"{header}Who?,\"array(['A queen lays eggs.' 'Rivers meander.'], dtype=object)\",x\n",
            "t.csv",
            check=has_needs(2),
        ),
        "CSV with semicolons": testset_case(
            "user_input;reference_contexts;reference\nWho?;\"['A queen lays eggs.']\";x\n", "t.csv", check=has_needs(1)
        ),
        "CSV with a field of 200 kB": testset_case(
            f"{header}Who?,\"['A queen lays eggs.']\",{large}\n", "t.csv", check=has_needs(1)
        ),
        "CSV with a short row": testset_case(f"{header}Who?\n", "t.csv", refused="t.csv:2: has 2 fields fewer"),
        "CSV with a long row": testset_case(f"{header}Who?,,x,y,z\n", "t.csv", refused="t.csv:2: has 2 fields more"),
        "an empty CSV": testset_case("", "t.csv", refused="there are no questions"),
        "DeepEval": testset_case([golden], "t.json", check=lambda d: has_needs(1)(d) and has_answers("A queen.")(d)),
        "DeepEval in an object": testset_case({"goldens": [golden]}, "t.json", check=has_needs(1)),
        "DeepEval's CSV": testset_case(
            "input,expected_output,context\nWho?,x,A queen lays eggs.|Rivers meander.\nWhat?,y,\n",
            "t.csv",
            check=lambda d: has_needs(2)(d) and len(d.questions) == 2,
        ),
        "no answer of a system": testset_case(lines({**old, "answer": None}), check=has_needs(1)),
        "an answer that looks like a list": testset_case(
            lines({**RAGAS, "reference": "[1, 2]"}), check=has_answers("[1, 2]")
        ),
        "LlamaIndex": testset_case({"examples": [rag]}, "t.json", check=has_needs(1)),
        "LlamaIndex's nodes": testset_case(
            nodes, "t.json", documents=False, check=lambda d: d.questions[0].document_ids == {"n1"}
        ),
        "LlamaIndex's nodes in documents": testset_case(nodes, "t.json", check=has_needs(1)),
        "a node is missing": testset_case(
            {**nodes, "relevant_docs": {"q": ["n9"]}}, "t.json", refused="relevant_docs names 'n9'"
        ),
        "columns": testset_case({key: [value] for key, value in RAGAS.items()}, "t.json", check=has_needs(1)),
        "columns of pandas": testset_case(
            {key: {"0": value} for key, value in RAGAS.items()}, "t.json", check=has_needs(1)
        ),
        "an object of something else": testset_case(
            {"version": 3}, "t.json", refused="t.json: should hold rows of questions"
        ),
        "half a file": testset_case('[{"user_input": "Who', "t.json", refused="t.json: is not JSON"),
        "no documents and no contexts": testset_case(
            lines({"user_input": "Who?"}), documents=False, refused="dataset.documents: must be given"
        ),
    }


def _own() -> dict[str, Case]:
    good = {"question": "Who lays eggs?", "evidence": ["A queen lays eggs."]}
    header = "question,corpus_id,references\n"
    return {
        "an array": folder_case([good], check=has_needs(1)),
        "ids and answers are numbers": folder_case(lines({**good, "id": 7, "answer": 42}), check=has_answers("42")),
        "null for what is absent": folder_case(
            lines({**good, "id": None, "answer": None, "answerable": None, "kind": None})
        ),
        "one piece of evidence without a list": folder_case(
            lines({**good, "evidence": "A queen lays eggs."}), check=has_needs(1)
        ),
        "and as an object": folder_case(lines({**good, "evidence": {"document": "a.txt"}}), check=has_needs(1)),
        "several right answers": folder_case(
            lines({**good, "answer": ["A queen", "", "Queens"]}), check=has_answers("A queen", "Queens")
        ),
        "further columns": folder_case(lines({**good, "author": "me", "2024": 1}), said="left out: author, 2024"),
        "a mistyped key": folder_case(
            lines({**good, "evidance": []} | {"evidence": None}),
            refused="q.jsonl:1.evidance: there is no key 'evidance'; did you mean 'evidence'?",
        ),
        "another program's key": folder_case(
            lines({**good, "ground_truth": "A queen"}),
            refused="q.jsonl:1.ground_truth: there is no key 'ground_truth'; did you mean 'answer'?",
        ),
        "a question is a list": folder_case(lines({"question": ["Who?"]}), refused="q.jsonl:1.question"),
        "nothing in it": folder_case("", refused="there are no questions"),
        "a comma too many": folder_case('{"question": "Who?",}', refused="q.jsonl:1: is not JSON"),
        "excluded by number": folder_case(
            lines({**good, "exclude": [7]}), refused="excludes '7', which is no document"
        ),
        "excluded is all that answers": folder_case(
            lines({**good, "exclude": ["a.txt"]}), refused="excludes all that answers it: a.txt"
        ),
        "excluded is no document": folder_case(
            lines({**good, "exclude": "b.txt"}), refused="excludes 'b.txt', which is no document"
        ),
        "evidence is a number": folder_case(lines({**good, "evidence": 5}), refused="q.jsonl:1 evidence[0]"),
        "CSV spans as Python prints them": spans_case(
            f"{header}Who?,a,\"[{{'start_index': 36, 'end_index': 43}}]\"\n", check=has_needs(1)
        ),
        "CSV spans that are none": spans_case(f"{header}Who?,a,nonsense\n", refused="q.csv:2: the spans are no list"),
        "CSV spans with tabs": spans_case("question\tcorpus_id\treferences\nWho?\ta\t[]\n", check=has_needs(0)),
        "CSV without a column": spans_case(
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
        "HotpotQA": hotpot_case(
            [HOTPOT],
            check=rests_on("They fly.", "They flow."),
        ),
        "HotpotQA in columns": hotpot_case(lines(columns), check=has_needs(2)),
        "a sentence that is not there": hotpot_case(
            [{**HOTPOT, "supporting_facts": [["Bees", 9], ["Rivers", 0]]}],
            said="1 supporting sentences stand in no paragraph",
            check=has_needs(1),
        ),
        "a paragraph without sentences": hotpot_case(
            [{**HOTPOT, "context": [["Bees"]]}], refused="h.json[1]: a paragraph of the context"
        ),
        "context is null": hotpot_case([{**HOTPOT, "context": None}], refused="there are no documents here"),
        "MultiHop-RAG": multihop_case([ASKED], check=rests_on("A queen lays eggs.")),
        "a fact that does not stand there": multihop_case(
            [{**ASKED, "evidence_list": [{**FACT, "fact": "Queens are said to lay."}]}],
            said="whole articles count",
            check=has_needs(1),
        ),
        "an article that is missing": multihop_case(
            [{**ASKED, "evidence_list": [{**FACT, "title": "X", "url": "y"}]}],
            refused="m.json[1]: evidence_list names 'X'",
        ),
        "a question without an answer": multihop_case(
            [{**ASKED, "question_type": "null_query", "evidence_list": []}],
            check=lambda d: not d.questions[0].answerable,
        ),
        "an article without a body": multihop_case(
            [ASKED], [{"title": "Bees", "body": None}], refused="c.json[1]: the article has no body"
        ),
    }
