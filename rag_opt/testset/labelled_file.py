"""A file of questions that is being labelled: what a person wrote in it stays, decisions are added."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import orjson

from rag_opt.core.questions import Question
from rag_opt.data.question_lines import read_questions, to_question_line
from rag_opt.data.quotes import QuoteResolver
from rag_opt.data.reading import JsonObject, Located, Problems, read_json_lines
from rag_opt.store.artifacts import write_atomically
from rag_opt.testset.evidence import NOT_FOUND, NOWHERE, Decision, apply_decision

_DECIDED = ("evidence", "answerable", "origin")  # keys that a decision sets


class LabelledFile:
    """Questions of a file, and the decisions on them in another one, which is written after each of them.

    An earlier decision is read from the file that is written, by id and text of its question. Raises BadInput for lines
    that are wrong in either.
    """

    def __init__(self, source: Path, target: Path, resolver: QuoteResolver) -> None:
        self._target, problems = target, Problems()
        located, lines = _read(source, resolver, problems)
        earlier, earlier_lines = _read(target, resolver, problems) if target.exists() else ([], {})
        problems.raise_if_any()
        self.questions = [question for _, question in located]
        self._lines = [{**lines[where], "id": question.id} for where, question in located]
        known = {_name(question): (where, question) for where, question in earlier}
        for row, question in enumerate(self.questions):
            where, decided = known.get(_name(question), ("", question))
            if _is_decided(decided) and not _is_decided(question):
                self.questions[row] = dataclasses.replace(
                    question, evidence=decided.evidence, answerable=decided.answerable, origin=decided.origin
                )
                line = earlier_lines[where]
                self._lines[row] |= {key: line[key] for key in _DECIDED if key in line}

    @property
    def undecided(self) -> list[int]:
        """Rows of the questions whose evidence nobody has looked for."""
        return [row for row, question in enumerate(self.questions) if not _is_decided(question)]

    def decide(self, row: int, decision: Decision, who: str) -> None:
        """Take a decision of somebody on a question, and write the file."""
        before = self.questions[row]
        after = self.questions[row] = apply_decision(before, decision, who)
        if after != before:
            line = to_question_line(after)
            self._lines[row] |= {key: line[key] for key in _DECIDED if key in line}
        self.write()

    def write(self) -> None:
        """Write the file anew, all of it or nothing."""
        self._target.parent.mkdir(parents=True, exist_ok=True)
        write_lines(self._target, self._lines)


def _read(path: Path, resolver: QuoteResolver, problems: Problems) -> tuple[list[Located], dict[str, JsonObject]]:
    """Return the questions of a file, and its lines as they stand there, by their places."""
    located = read_questions(path, resolver, problems)
    return located, dict(read_json_lines(path, Problems()))


def _name(question: Question) -> tuple[str, str]:
    """Return what a decision is found again by: id and text, or the text alone, since a line may have moved."""
    return ("" if question.id.startswith("line-") else question.id), question.text


def _is_decided(question: Question) -> bool:
    looked_for = NOT_FOUND in question.origin or NOWHERE in question.origin
    return question.evidence is not None or not question.answerable or looked_for


def write_lines(path: Path, lines: Sequence[JsonObject]) -> None:
    """Write JSON lines, all of them or none."""
    write_atomically(path, b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))
