"""The embedded data set: the Python language reference, with questions written for this project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Document
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.question_lines import read_questions
from rag_opt.data.quotes import QuoteResolver
from rag_opt.data.reading import Problems, build_corpus, read_json_lines

QUESTIONS = Path(__file__).with_name("python_reference.jsonl")
_MAX_CHARACTERS = 14_000  # of a topic


@register("dataset", "python_reference")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class PythonReference:
    """The language reference inside every CPython (`pydoc_data.topics`), with questions written for this project.

    Topics contained in others and topics over 14 kB are left out. Evidence is a locator, so the same
    questions fit every Python; one whose locator a Python lacks is dropped, counted and named in a note.
    """

    name: Annotated[str, Doc("Name of the data set.")] = "python_reference"

    def read(self) -> Dataset:
        """Return the data set."""
        problems = Problems()
        corpus = build_corpus(read_topics(), "pydoc_data.topics", problems)
        problems.raise_if_any()
        located = read_questions(QUESTIONS, QuoteResolver(corpus), problems)
        ids = [data["id"] for _, data in read_json_lines(QUESTIONS, Problems())]
        kept = {question.id for _, question in located}
        dropped = [str(name) for name in ids if name not in kept]
        notes = []
        if dropped:
            notes.append(f"{len(dropped)} questions have no evidence in this Python's reference: {', '.join(dropped)}")
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))


def read_topics() -> list[Document]:
    """Return the topics, their text untouched; containment is judged without headings and line breaks."""
    from pydoc_data.topics import topics

    bodies = {name: _body(text) for name, text in topics.items()}

    def is_contained(name: str) -> bool:
        body = bodies[name]
        return any(
            body in other and (len(other) > len(body) or other_name < name)
            for other_name, other in bodies.items()
            if other_name != name
        )

    kept = [name for name, text in topics.items() if len(text) <= _MAX_CHARACTERS and not is_contained(name)]
    return [Document(name, topics[name], title=topics[name].partition("\n")[0]) for name in sorted(kept)]


def _body(text: str) -> str:
    """Return the text on one line, without an underlined heading."""
    lines = text.strip().split("\n")
    underlined = len(lines) > 1 and lines[1] and set(lines[1]) <= set("*=-~^")
    return " ".join(" ".join(lines[2:] if underlined else lines).split())
