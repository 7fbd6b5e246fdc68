"""Studies with one planted weakness each: whether the report's advice names it first."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from rag_opt.core.documents import Span
from rag_opt.core.questions import Dataset, Question
from rag_opt.core.registry import lookup
from rag_opt.report.contents import open_contents
from rag_opt.setup.builtins import load_built_in

_TRIALS = 8
_ONE_OF_EACH = [
    "only.chunker=[recursive]",
    "only.retriever=[rrf]",
    "only.reranker=[none]",
    "space.embedder.model.dimensions=null",
]
_SOUND = {
    "chunker.recursive.size": "160", "chunker.recursive.overlap": "0.0", "retriever.rrf.top_k": "10",
    "retriever.rrf.k": "60", "retriever.rrf.stemmer": "none", "generator.extractive.sentences": "2",
    "generator.extractive.refuse_below": "0.2",
}  # fmt: skip


def _planted(*more: str, **changed: str) -> list[str]:
    """Return a sound space of few pipelines in which a setting is spoilt, also in the baseline: nothing escapes it."""
    settings = {**_SOUND, **{name.replace("__", "."): value for name, value in changed.items()}}
    space = [f"space.{path}={value}" for path, value in settings.items()]
    fixed = {path: value for path, value in settings.items() if not value.startswith("[")}
    pipeline = [f"++pipeline.{path}={value}" for path, value in fixed.items() if path != "retriever.rrf.stemmer"]
    return [*_ONE_OF_EACH, *space, *pipeline, "space.retriever.rrf.k=[10,30,60]", *more]


# name -> (topic that should come first, overrides, which questions)
PLANTED: dict[str, tuple[str, list[str], str]] = {
    "top_k of 1": ("evidence ranked too low", _planted(retriever__rrf__top_k="1"), "answerable"),
    "chunks of 16 tokens": ("evidence cut apart", _planted(chunker__recursive__size="16"), "answerable"),
    "chunks of 1,000 tokens": ("chunks too large", _planted(chunker__recursive__size="1000"), "answerable"),
    "a context of 150 tokens": (
        "evidence cut by the budget",
        _planted("+space.packer={ranked: {context_tokens: 150}}", "++pipeline.packer.ranked.context_tokens=150"),
        "answerable",
    ),
    "a model of another language": (
        "model of another language",
        _planted("+embedder.cards.minilm.languages=[de]"),
        "answerable",
    ),
    "one sentence of an answer": (
        "answered wrongly",
        _planted(generator__extractive__sentences="1"),
        "answerable",
    ),
    "evidence of 40 % of the questions is wrong": ("questions with wrong evidence", _planted(), "wrong"),
    "refuses below 0.8": ("refused wrongly", _planted(generator__extractive__refuse_below="0.8"), "answerable"),
    "never refuses": ("answered though unanswerable", _planted(generator__extractive__refuse_below="0.0"), "all"),
    "14 questions": ("too few questions", _planted(), "few"),
}


def measure() -> list[tuple[str, str, str]]:
    """Return a row for each study, and how many of them have their weakness named first."""
    load_built_in()
    dataset = lookup("dataset", "python_reference")().read()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(_rows(Path(folder), dataset))
    right = sum(measured.startswith("named first") for _, measured, _ in rows)
    return [*rows, ("weaknesses named first", f"{right} of {len(rows)}", "at least 8 of 10")]


# weaknesses that no search begins with, and what is said instead
_REFUSALS = {
    "chunks too large": "no model of the space reads more than",
    "model of another language": "multilingual_e5",
}


def _rows(place: Path, dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    docs = place / "docs"
    docs.mkdir()
    for document in dataset.corpus.documents:
        (docs / f"{document.id}.txt").write_text(document.text)
    for name, (topic, overrides, which) in PLANTED.items():
        questions = place / f"{which}.jsonl"
        questions.write_bytes(b"\n".join(map(orjson.dumps, _lines(dataset, which))))
        study = f"planted-{list(PLANTED).index(name)}"
        done = subprocess.run(
            [
                sys.executable, "-m", "rag_opt.search", "dataset=folder", f"dataset.documents={docs}",
                f"dataset.questions={questions}", f"study.name={study}", f"study.trials={_TRIALS}", "tracking=none",
                f"outputs={place}/outputs", *overrides,
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())
            refused = _REFUSALS.get(topic, "no such message") in said
            yield (
                f"advice: {name}",
                f"{'named first, refused before the search' if refused else 'failed'}: {said[-200:]}",
                topic,
            )
            continue
        found = open_contents(place / "outputs" / study).advice
        topics = [one.topic for one in found]
        told = "named first" if topics[:1] == [topic] else f"{topics[:3]}"
        yield f"advice: {name}", f"{told}: {found[0].text if found else 'nothing'}", topic


def _lines(dataset: Dataset, which: str) -> list[dict[str, object]]:
    questions = [q for q in dataset.questions if which == "all" or q.answerable]
    if which == "few":
        questions = questions[::10][:14]
    shuffled = _other_evidence(questions) if which == "wrong" else {}
    return [_line(question, shuffled.get(question.id)) for question in questions]


def _other_evidence(questions: Sequence[Question]) -> dict[str, Question]:
    """Return for two of five questions another one, whose evidence it gets."""
    generator = random.Random(5)
    chosen = generator.sample([q for q in questions if q.evidence], 2 * len(questions) // 5)
    others = chosen[1:] + chosen[:1]
    return {question.id: other for question, other in zip(chosen, others, strict=True)}


def _line(question: Question, other: Question | None) -> dict[str, object]:
    source = other or question
    evidence = [
        {"document": f"{one.document_id}.txt", "start": one.start, "end": one.end}
        for need in source.evidence or ()
        for one in need[:1]
        if isinstance(one, Span)
    ]
    line: dict[str, object] = {"id": question.id, "question": question.text, "answer": question.reference_answer}
    return (
        {**line, "evidence": evidence}
        if question.answerable
        else {"id": question.id, "question": question.text, "answerable": False}
    )
