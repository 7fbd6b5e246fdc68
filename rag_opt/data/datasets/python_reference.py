from __future__ import annotations

from pathlib import Path

from pydantic.dataclasses import dataclass

from rag_opt.core import strict as config
from rag_opt.core.documents import Document
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.question_lines import Line, read_questions
from rag_opt.data.quotes import Resolver
from rag_opt.data.reading import Problems, json_lines, make_corpus

QUESTIONS = Path(__file__).with_name("python_reference.jsonl")
_LONGEST_TOPIC = 14_000


@register("dataset", "python_reference")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class PythonReference:
    """The language reference inside every CPython (`pydoc_data.topics`), with questions written for this project.

    Topics contained in others and topics over 14 kB are left out. Evidence is a locator, so the same
    questions fit every Python; one whose locator a Python lacks is dropped, counted and named in a note.
    """

    name: str = "python_reference"

    def read(self) -> Dataset:
        problems = Problems()
        corpus = make_corpus(topics(), "pydoc_data.topics", problems)
        problems.refuse_if_any()
        found = read_questions(QUESTIONS, Resolver(corpus), problems)
        asked = [config.load(Line, data).id for _, data in json_lines(QUESTIONS, Problems())]
        kept = {question.id for _, question in found}
        dropped = [str(name) for name in asked if name not in kept]
        notes = []
        if dropped:
            notes.append(f"{len(dropped)} questions have no evidence in this Python's reference: {', '.join(dropped)}")
        return Dataset(self.name, corpus, tuple(question for _, question in found), tuple(notes))


def topics() -> list[Document]:
    """The topics, their text untouched; containment is judged without headings and line breaks."""
    from pydoc_data.topics import topics as all_topics

    bodies = {name: _body(text) for name, text in all_topics.items()}

    def contained(name: str) -> bool:
        mine = bodies[name]
        return any(
            mine in other and (len(other) > len(mine) or other_name < name)
            for other_name, other in bodies.items()
            if other_name != name
        )

    kept = [name for name, text in all_topics.items() if len(text) <= _LONGEST_TOPIC and not contained(name)]
    return [Document(name, all_topics[name], title=all_topics[name].partition("\n")[0]) for name in sorted(kept)]


def _body(text: str) -> str:
    lines = text.strip().split("\n")
    underlined = len(lines) > 1 and lines[1] and set(lines[1]) <= set("*=-~^")
    return " ".join(" ".join(lines[2:] if underlined else lines).split())
