from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from rag_opt.core import strict as config
from rag_opt.core.errors import BadInput
from rag_opt.core.questions import Alternative, Dataset, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.datasets.folder import read_documents
from rag_opt.data.question_lines import resolve_evidence
from rag_opt.data.quotes import Resolver
from rag_opt.data.reading import Problems, check_questions, json_lines, make_corpus

_UP = {"up", "1", "true", "👍", "good", "yes"}
_BIAS = (
    "questions from the log of a running system: their evidence is what that system found, so pipelines that are like "
    "it score better than they should, and what it never found counts for nobody (`python -m rag_opt.questions label`)"
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LogLine:
    """`passages`: what was shown: texts, or `{"document"}` with or without `start` and `end`. `thumb`: what the person
    said of the answer.
    """

    question: str
    answer: str | None = None
    passages: list[Any] | None = None
    thumb: str | int | bool | None = None
    id: str | None = None


@register("dataset", "logs")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Logs:
    """A log of questions with the answers and passages that a system gave, and what people said of them.

    A thumb up makes the answer a reference and any one of the passages its evidence. `others`: what becomes of
    questions without one: left out, or read without evidence and answer.
    """

    name: str = "logs"
    documents: str
    log: str
    others: Literal["left_out", "without_evidence"] = "left_out"

    def read(self) -> Dataset:
        """Raises BadInput listing everything wrong with the documents and the log."""
        problems, notes = Problems(), list[str]()
        corpus = make_corpus(read_documents(Path(self.documents), problems, notes), self.documents, problems)
        problems.refuse_if_any()
        resolver, found, lost, unrated = Resolver(corpus), list[tuple[str, Question]](), 0, 0
        for where, data in json_lines(Path(self.log), problems):
            try:
                line = config.load(LogLine, data, path=where)
            except BadInput as error:
                problems.found += error.problems
                continue
            name = line.id or f"line-{where.rpartition(':')[2]}"
            if str(line.thumb).lower() not in _UP:
                unrated += 1
                if self.others == "without_evidence":
                    found.append((where, Question(name, line.question, origin="log")))
                continue
            shown = [place for one in line.passages or () for place in _where(one, resolver)]
            lost += bool(line.passages) and not shown
            requires = (tuple(dict.fromkeys(shown)),) if shown else None
            found.append((where, Question(name, line.question, line.answer, requires, origin="log, thumb up")))
        check_questions(found, corpus, problems)
        problems.refuse_if_any()
        notes.append(_BIAS)
        kept = "left out" if self.others == "left_out" else "read without evidence"
        notes += [f"{unrated} questions of the log have no thumb up and were {kept}"] if unrated else []
        notes += [f"{lost} questions of the log name passages that stand in no document now"] if lost else []
        return Dataset(self.name, corpus, tuple(question for _, question in found), tuple(notes))


def _where(passage: Any, resolver: Resolver) -> tuple[Alternative, ...]:
    """Where a passage stands; nowhere if the documents have changed since it was shown."""
    try:
        requires = resolve_evidence([passage], resolver, "")
    except BadInput:
        return ()
    return tuple(place for need in requires or () for place in need)
