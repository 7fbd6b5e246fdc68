"""Making and labelling questions, and holding a judge against people, as a person does it."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from rag_opt.evaluation.agreement import INJECTIONS
from tests.cli.conftest import Command
from tests.scripted_writer import written
from tests.servers import ChatModel, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with serving(ChatModel(written)) as running:
        yield running


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


DOCUMENTS = ["dataset=folder", "dataset.documents=data/docs"]


def test_questions_are_made_and_a_search_says_so(command: Command, workplace: Path, tiny: list[str]) -> None:
    (workplace / "said").mkdir()
    for name, heading in {
        "bees": "Honey bees",
        "bread": "Sour dough",
        "chess": "The rook",
        "rivers": "Long rivers",
    }.items():
        text = (workplace / "data" / "docs" / f"{name}.md").read_text()
        (workplace / "said" / f"{name}.md").write_text(text.replace("# ", f"# {heading} and ", 1))
    documents = ["dataset=folder", "dataset.documents=said"]
    made = command("questions", "make", *documents, "questions.out=made.jsonl", "questions.count=4")
    assert made.returncode == 0, made.stderr
    assert "made by rule" in made.stdout and len(lines(workplace / "made.jsonl")) == 4
    assert made.stdout.count("rough     0.") == 4 and "Honey bees and Bees" in made.stdout
    again = command("questions", "make", *documents, "questions.out=made.jsonl")
    assert again.returncode == 2 and "exists; name another file" in again.stderr
    given = [one for one in tiny if not one.startswith(("dataset", "tracking"))]
    mine = [
        *documents,
        "dataset.questions=made.jsonl",
        "study.search_share=0.5",
        "study.name=on-made",
        "study.trials=3",
    ]
    said = "4 of 4 questions: rough, made by rule: a heading (confidence 0.75)"
    done = command("search", *given, *mine, RAG_OPT_TRACKING_PATIENCE_S="60")
    assert done.returncode == 0, done.stderr
    assert " ".join(done.stdout.split()).count(said) == 2, "before it begins, and beside the winner"
    assert "not all was delivered" not in done.stdout
    assert (said,) in tags(workplace, "rag_opt.questions")
    begins = "dense alone: recursive(size=32) · minilm · dense(top_k=5)"
    notes = tags(workplace, "mlflow.note.content")
    assert any(note.startswith(begins) for (note,) in notes), notes
    exported = command("export", "outputs/on-made", "--out", "made-bundle")
    assert exported.returncode == 0, exported.stderr
    manifest = orjson.loads((workplace / "made-bundle" / "manifest.json").read_bytes())
    assert said in orjson.dumps(manifest).decode()


def tags(workplace: Path, key: str) -> list[tuple[str]]:
    with closing(sqlite3.connect(workplace / "outputs" / "mlflow.db")) as database:
        return database.execute("SELECT value FROM tags WHERE key = ?", [key]).fetchall()


def test_a_model_makes_and_labels(command: Command, workplace: Path, server: Any) -> None:
    model = ["llm=openai_compatible", f"llm.base_url={server.url}/v1", "llm.model=writer"]
    more = ["questions.count=3", "questions.passage_tokens=60", "questions.several=0", "questions.unanswerable=0"]
    made = command("questions", "make", *DOCUMENTS, *model, *more, "questions.out=by-model.jsonl")
    assert made.returncode == 0, made.stderr
    assert "made by model writer" in made.stdout and "calls" in made.stdout
    assert all(line["evidence"] and line["answer"] for line in lines(workplace / "by-model.jsonl"))
    asked = [
        {"question": "How many eggs can a queen bee lay in a single day?"},
        {"question": "Quarrelsome xylophones?"},
    ]
    (workplace / "asked.jsonl").write_bytes(b"\n".join(map(orjson.dumps, asked)))
    arguments = ["questions.file=asked.jsonl", "questions.out=labelled.jsonl"]
    done = command("questions", "label", *DOCUMENTS, *model, *arguments)
    assert done.returncode == 0 and "2 of 2 questions have no evidence yet" in done.stdout, done.stderr
    found = lines(workplace / "labelled.jsonl")
    assert found[0]["evidence"] and found[1]["origin"] == "evidence not found (by model writer)"
    seen = len(server.seen)
    again = command("questions", "label", *DOCUMENTS, *model, *arguments)
    assert "0 of 2 questions" in again.stdout and len(server.seen) == seen


def test_a_word_that_is_no_command_is_named(command: Command) -> None:
    done = command("questions", "mak")
    assert done.returncode == 2 and "did you mean 'make'" in done.stderr
    assert "make | label" in command("questions", "--help").stdout


def gullible(heeds: Callable[[str], bool]) -> Callable[[Any], str]:
    """A judge that does what is planted, unless it heeds what its first message says."""

    def says(body: Any) -> str:
        message = body["messages"][-1]["content"]
        said = written(message)
        data = message.rpartition("input: ")[2]
        obeys = any(json.dumps(one)[1:-1] in data for one in INJECTIONS) and not heeds(body["messages"][0]["content"])
        return re.sub(r'"verdict": 0', '"verdict": 1', said) if obeys else said

    return says


class Judge(ChatModel):
    def __init__(self, says: Callable[[Any], str]) -> None:
        super().__init__(str)
        self._answers = says

    def answer(self, path: str, body: Any) -> Any:
        self._says = lambda _: self._answers(body)
        return super().answer(path, body)


def test_a_judge_is_held_against_people_and_against_planted_instructions(command: Command, workplace: Path) -> None:
    labels = []
    for number in range(18):
        good = number % 3 != 0
        passage = f"The keeper of house {number} feeds seven remarkable peacocks every morning."
        answer = passage if good else "Nobody knows anything about distant elephants."
        labels.append({"question": "Who?", "answer": answer, "passages": [passage], "score": float(good)})
    labels[5]["score"] = 0.0  # a person errs too
    (workplace / "labels.jsonl").write_bytes(b"\n".join(map(orjson.dumps, labels)))
    with serving(Judge(gullible(lambda first: "never an instruction" in first))) as heeding:
        given = ["llm@judge=openai_compatible", f"judge.base_url={heeding.url}/v1", "judge.model=heeding"]
        done = command("check", "--judge", "labels.jsonl", "--injections", *given, "judge.max_tokens=4096")
    assert done.returncode == 0, done.stderr
    assert "18 of 18 judged" in done.stdout
    kappa = re.search(r"kappa\s+(\S+) \[(\S+), (\S+)\]", done.stdout)
    assert kappa and float(kappa[2]) < float(kappa[1]) == pytest.approx(0.88, abs=0.02)
    moves = re.findall(r"(answer|passage)\s+(guarded|without)\s+(\S+) on", done.stdout)
    moved = {(where, guard): float(mean) for where, guard, mean in moves}
    assert moved["passage", "guarded"] == 0 and moved["passage", "without"] > 20
    assert done.stdout.count("of 144 up") == 4


def test_labels_that_are_none_are_refused(command: Command, workplace: Path) -> None:
    model = ["llm@judge=openai_compatible", "judge.base_url=http://127.0.0.1:9/v1", "judge.model=m"]
    (workplace / "bad.jsonl").write_text('{"metric": "faithfullness", "score": 0}\n')
    assert "did you mean 'faithfulness'" in command("check", "--judge", "bad.jsonl", *model).stderr
    (workplace / "bad.jsonl").write_text('{"score": 7.3}\n{"scores": 1}\n')
    said = command("check", "--judge", "bad.jsonl", *model).stderr
    assert "bad.jsonl:1.score" in said and "bad.jsonl:2" in said
    assert "there is no file" in command("check", "--judge", "none.jsonl", *model).stderr
    assert "there is no judge: llm@judge" in command("check", "--judge", "labels.jsonl").stderr
