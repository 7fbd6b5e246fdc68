"""What other tools wrote: AutoRAG's and ragas' files, data sets as the hub has them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from rag_opt.core.documents import Span
from rag_opt.core.errors import BadInput
from rag_opt.core.questions import WholeDocument
from rag_opt.data.datasets.autorag import AutoRag
from rag_opt.data.datasets.hub import Hub, Mteb, find_answer, read_answers
from rag_opt.data.datasets.testset import ForeignTestset

TEXT = "Bees dance to tell where nectar is. A queen lays eggs. Rivers meander. The Danube is long."


def autorag(tmp_path: Path, corpus: list[dict[str, Any]], qa: list[dict[str, Any]]) -> AutoRag:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(corpus), tmp_path / "corpus.parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(qa), tmp_path / "qa.parquet")
    return AutoRag(corpus=str(tmp_path / "corpus.parquet"), qa=str(tmp_path / "qa.parquet"))


def passage(name: str, start: int, end: int, **more: Any) -> dict[str, Any]:
    given = {"doc_id": name, "contents": TEXT[start:end], "path": "bees.txt", "start_end_idx": [start, end - 1]}
    return {**given, "metadata": {"page": -1, "prev_id": None, "next_id": None}, **more}


def test_an_autorag_project_moves_here(tmp_path: Path) -> None:
    middle, third = TEXT.index("A queen"), TEXT.index("Rivers")
    corpus = [passage("c", third, len(TEXT)), passage("a", 0, third), passage("b", middle, third + 15)]
    qa = [
        {"qid": "1", "query": "Who lays eggs?", "retrieval_gt": [["a", "b"]], "generation_gt": ["A queen.", "Queens."]},
        {"qid": "2", "query": "What do both do?", "retrieval_gt": [["a"], ["c"]], "generation_gt": ["Move."]},
        {"qid": "3", "query": "What is steel?", "retrieval_gt": [[]], "generation_gt": ["Unknown."]},
    ]
    data = autorag(tmp_path, corpus, qa).read()
    assert [one.id for one in data.corpus.documents] == ["bees.txt"]
    assert data.corpus["bees.txt"].text == TEXT, "overlaps are joined, nothing stands twice"
    said = [[[data.corpus.text(span) for span in need] for need in q.evidence or ()] for q in data.questions]  # type: ignore[arg-type]
    assert said[0] == [[TEXT[:third], TEXT[middle : third + 15]]] and said[1] == [[TEXT[:third]], [TEXT[third:]]]
    assert data.questions[0].reference_answer == "A queen." and not data.questions[2].answerable
    assert data.questions[0].other_answers == ("Queens.",)


def test_passages_without_offsets_follow_one_another(tmp_path: Path) -> None:
    def linked(name: str, text: str, following: str | None) -> dict[str, Any]:
        return {"doc_id": name, "contents": text, "metadata": {"prev_id": "", "next_id": following}}

    corpus = [linked("b", "Second.", None), linked("a", "First.", "b"), linked("z", "Alone.", "gone")]
    qa = [{"qid": "1", "query": "Which?", "retrieval_gt": [["b"]], "generation_gt": ["Second."]}]
    data = autorag(tmp_path, corpus, qa).read()
    assert {one.id: one.text for one in data.corpus.documents} == {"a": "First.\n\nSecond.", "z": "Alone."}
    assert data.questions[0].evidence == ((Span("a", 8, 15),),)


def test_offsets_that_cannot_be_true_are_not_believed(tmp_path: Path) -> None:
    corpus = [passage(name, 0, 10, contents=text) for name, text in (("a", "One thing."), ("b", "Another."))]
    corpus[1]["start_end_idx"] = [4, 12]
    qa = [{"qid": "1", "query": "Which?", "retrieval_gt": [["b"]], "generation_gt": []}]
    data = autorag(tmp_path, corpus, qa).read()
    assert data.corpus["bees.txt"].text == "One thing.\n\nAnother."
    assert data.corpus.text(data.questions[0].evidence[0][0]) == "Another."  # type: ignore[index,arg-type]


def test_what_is_wrong_with_an_autorag_project(tmp_path: Path) -> None:
    corpus = [passage("a", 0, 10), passage("a", 10, 20)]
    qa = [{"qid": "1", "query": "Which?", "retrieval_gt": [["x"]], "generation_gt": []}]
    with pytest.raises(BadInput, match=r"corpus\.parquet:2: the doc_id 'a' stands twice; first in row 1"):
        autorag(tmp_path, corpus, qa).read()
    with pytest.raises(BadInput, match="retrieval_gt names 'x', which is no doc_id"):
        autorag(tmp_path, corpus[:1], qa).read()
    with pytest.raises(BadInput, match="there is no column 'retrieval_gt'"):
        autorag(tmp_path, corpus[:1], [{"qid": "1", "query": "Which?"}]).read()
    with pytest.raises(BadInput, match="cannot be read"):
        AutoRag(corpus=str(tmp_path / "no.parquet"), qa=str(tmp_path / "qa.parquet")).read()


@pytest.fixture
def ragas_files(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "bees.md").write_text(TEXT)
    rows = [
        {"user_input": "Where?", "reference": "There.", "reference_contexts": ["Bees dance to tell\nwhere nectar is."],
         "synthesizer_name": "single_hop_specific_query_synthesizer"},
        {"user_input": "Both?", "reference": "Yes.",
         "reference_contexts": ["<1-hop>\n\nA queen lays eggs.", "<2-hop>\n\nRivers meander."]},
        {"user_input": "Lost?", "reference": "No.", "reference_contexts": ["This stands nowhere at all."]},
    ]  # fmt: skip
    (tmp_path / "set.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with (tmp_path / "set.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["user_input", "reference_contexts", "reference", "synthesizer_name"])
        writer.writeheader()
        writer.writerows(rows)  # lists as Python writes them, as ragas does
    return tmp_path


@pytest.mark.parametrize("name", ["set.jsonl", "set.csv"])
def test_a_test_set_of_ragas(ragas_files: Path, name: str) -> None:
    data = ForeignTestset(testset=str(ragas_files / name), documents=str(ragas_files / "docs")).read()
    assert [question.text for question in data.questions] == ["Where?", "Both?"]
    assert [len(question.evidence or ()) for question in data.questions] == [1, 2]
    second = data.questions[1].evidence[1][0]  # type: ignore[index]
    assert data.corpus.text(second) == "Rivers meander."  # type: ignore[arg-type]
    assert data.questions[0].kind.startswith("single_hop") and data.questions[0].reference_answer == "There."
    assert any("1 questions have a context that stands in no document" in note for note in data.notes)


def test_a_test_set_without_documents_reads_its_contexts(ragas_files: Path) -> None:
    data = ForeignTestset(testset=str(ragas_files / "set.jsonl")).read()
    assert len(data.corpus.documents) == 4 and len(data.questions) == 3
    assert any("easier than your documents" in note for note in data.notes)


def hub_folder(root: Path, configs: dict[str, list[dict[str, Any]]], split: str = "test") -> Path:
    """As data sets lie on the hub: one Parquet file per config, and a README that names them."""
    named = []
    for name, rows in configs.items():
        (root / name).mkdir(parents=True)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), root / name / "data.parquet")
        own = split if name in ("default", "rows") else name
        place = f"  data_files:\n  - split: {own}\n    path: {name}/data.parquet\n"
        named.append(f"- config_name: {name}\n{place}")
    (root / "README.md").write_text("---\nconfigs:\n" + "".join(named) + "---\n")
    return root


JUDGED = {
    "corpus": [{"_id": "1", "title": "Bees", "text": "They dance."}, {"_id": "2", "title": "", "text": "Rivers flow."}],
    "queries": [{"_id": "a", "text": "Who dances?"}, {"_id": "b", "text": "Nobody judged this?"}],
    "default": [{"query-id": "a", "corpus-id": "1", "score": 2}, {"query-id": "a", "corpus-id": "2", "score": 0}],
}


def test_a_judged_set_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = hub_folder(tmp_path / "set", JUDGED)
    data = Hub(path=str(path)).read()
    assert data.corpus["1"].text == "Bees\n\nThey dance." and len(data.corpus.documents) == 2
    assert [q.evidence for q in data.questions] == [((WholeDocument("1", 2),),)]
    assert "1 queries have no judgement" in data.notes[0]
    monkeypatch.setattr("rag_opt.data.datasets.hub.TASKS", {"Tiny": (str(path), None, "test")})
    assert Mteb(task="Tiny").read().questions == data.questions
    with pytest.raises(BadInput, match="no task is called 'Tini'; did you mean 'Tiny'"):
        Mteb(task="Tini").read()
    with pytest.raises(BadInput, match="cannot be read"):
        Hub(path=str(tmp_path / "nowhere")).read()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"text": ["art"], "answer_start": [8]}, [(8, 11)]),
        ({"text": ["art"], "answer_start": [1]}, [(8, 11)]),
        ("art", [(8, 11)]),
        ({"text": [], "answer_start": []}, None),
    ],
)
def test_where_an_answer_stands(given: Any, expected: list[tuple[int, int]] | None) -> None:
    answers, start = read_answers(given)
    assert (find_answer("A party art show.", answers[0], start) if answers else None) == expected


def test_rows_of_questions_with_their_passages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [
        {"question": "Who lays eggs?", "context": TEXT, "answer": "A queen"},
        {"question": "What is long?", "context": TEXT, "answer": "some river"},
        {"question": "Nothing?", "context": TEXT, "answer": ""},
        {"question": "Which lay?", "context": TEXT + " A queen again.", "answer": "A queen"},
    ]
    path = hub_folder(tmp_path / "set", {"rows": rows})
    data = Hub(path=str(path), config="rows").read()
    assert len(data.corpus.documents) == 2
    start = TEXT.index("A queen")
    assert data.questions[0].evidence == ((Span("passage-000001", start, start + 7),),)
    assert data.questions[1].evidence == ((WholeDocument("passage-000001"),),)
    assert not data.questions[2].answerable and data.questions[2].evidence is None
    assert len(data.questions[3].evidence[0]) == 2, "every place counts"  # type: ignore[index]
    with pytest.raises(BadInput, match="no column 'quest'"):
        Hub(path=str(path), config="rows", question_column="quest").read()
    with pytest.raises(BadInput, match=r"no split 'dev'|cannot be read"):
        Hub(path=str(path), config="nope", split="dev").read()
