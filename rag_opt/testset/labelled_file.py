"""A file of questions that is being labelled: what a person wrote in it stays, decisions are added."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson

from rag_opt.data.question_lines import read_questions, to_question_line
from rag_opt.data.quotes import QuoteResolver
from rag_opt.data.reading import JsonObject, Problems, read_json_lines
from rag_opt.store.artifacts import write_atomically
from rag_opt.testset.evidence import Decision, apply_decision

_DECIDED = ("evidence", "answerable", "origin")  # keys that a decision sets


class LabelledFile:
    """Questions of a file, and the decisions on them in another one, which is written after each of them.

    An earlier decision is read from the file that is written, by the id of its question. Raises BadInput for lines
    that are wrong in either.
    """

    def __init__(self, source: Path, target: Path, resolver: QuoteResolver) -> None:
        self._target, problems = target, Problems()
        located = read_questions(source, resolver, problems)
        lines = dict(read_json_lines(source, problems))
        earlier = read_questions(target, resolver, problems) if target.exists() else []
        earlier_lines = dict(read_json_lines(target, problems)) if target.exists() else {}
        problems.raise_if_any()
        self.questions = [question for _, question in located]
        self._lines = [{"id": question.id, **lines[where]} for where, question in located]
        decided = {question.id: (question, earlier_lines[where]) for where, question in earlier}
        for row, question in enumerate(self.questions):
            if question.id in decided:
                known, line = decided[question.id]
                self.questions[row] = known
                self._lines[row] |= {key: line[key] for key in _DECIDED if key in line}

    @property
    def undecided(self) -> list[int]:
        """Rows of the questions whose evidence nobody has looked for."""
        return [
            row
            for row, one in enumerate(self.questions)
            if one.evidence is None and one.answerable and not one.origin.endswith(")")
        ]

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


def write_lines(path: Path, lines: Sequence[JsonObject]) -> None:
    """Write JSON lines, all of them or none."""
    write_atomically(path, b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))
