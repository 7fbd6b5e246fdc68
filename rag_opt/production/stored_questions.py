"""The questions of a study inside its bundle: what was asked, and what the exported pipeline returned.

questions.jsonl   the questions as a data set reads them, evidence with its quote, so that it is found again when the
                  documents have changed
seen.jsonl        for each of them what the search saw: passages, scores, answer, and what it scored
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, cast

import orjson
from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core import strict
from rag_opt.core.documents import Corpus
from rag_opt.core.errors import BadInput
from rag_opt.core.questions import Question
from rag_opt.core.strict import STRICT, PlainDict, PlainMapping
from rag_opt.data.question_lines import QuestionLine, build_question, to_question_line
from rag_opt.data.quotes import QuoteResolver

QUESTIONS, SEEN = "questions.jsonl", "seen.jsonl"
SEARCH, HELD_OUT = "search", "held_out"
OBJECTIVE = "objective/value"
_NO_SCORES = ("places/", "cost/")  # columns of rows that say how something came about, or are of one machine


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SeenHit:
    """A passage that was returned."""

    document: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Seen:
    """What the search saw of one question."""

    id: Annotated[str, Doc("Id of the question.")]
    part: Annotated[str, Doc("`search` or `held_out`: on which side of the split it was.")]
    hits: Annotated[list[SeenHit], Doc("Passages of the context, best first.")]
    answer: Annotated[str, Doc("Text of the answer; empty for a refusal.")]
    refused: Annotated[bool, Doc("Whether it refused.")]
    unit: Annotated[str, Doc("Split unit: the cluster of intervals.")] = ""
    scores: Annotated[dict[str, float], Doc("What it scored, by metric.")] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StoredQuestion:
    """A question of a bundle with what the search saw of it."""

    line: QuestionLine
    seen: Seen

    @property
    def question(self) -> Question:
        """The question as a pipeline is asked it."""
        line = self.line
        return Question(
            self.seen.id, line.question, filters=line.filters or {}, exclude=tuple(line.exclude or ()),
            answerable=line.answerable,
        )  # fmt: skip


def build_stored_questions(
    questions: Iterable[Question], rows: Mapping[str, Sequence[PlainMapping]], units: Mapping[str, str], corpus: Corpus
) -> list[StoredQuestion]:
    """Return the questions with what a trial returned for them.

    `rows` by part; a question whose model calls failed is left out, since nothing was seen of it. `units`: split unit
    by the id of a question.
    """
    by_id = {question.id: question for question in questions}
    stored = []
    for part, part_rows in rows.items():
        for row in part_rows:
            question = by_id.get(str(row["question_id"]))
            if question is None or row.get("failed"):
                continue
            line = strict.load(QuestionLine, question_line(question, corpus), path=question.id)
            stored.append(StoredQuestion(line=line, seen=_seen(row, part, units.get(question.id, question.id))))
    return stored


def question_line(question: Question, corpus: Corpus) -> PlainDict:
    """Return a question as a line of a file of questions, every span with its quote."""
    line = to_question_line(question)
    if isinstance(line.get("answer"), str):
        line["answer"] = [line["answer"]]
    for need in cast(list[list[PlainDict]], line.get("evidence", [])):
        for place in need:
            if "start" in place:
                place["quote"] = corpus[place["document"]].text[place["start"] : place["end"]]
    return line


def _seen(row: PlainMapping, part: str, unit: str) -> Seen:
    hits = [SeenHit(document=h["document"], start=h["start"], end=h["end"], score=h["score"]) for h in row["hits"]]
    scores = {
        name: float(value)
        for name, value in row.items()
        if "/" in name and not name.startswith(_NO_SCORES) and isinstance(value, int | float) and math.isfinite(value)
    }
    return Seen(
        id=str(row["question_id"]), part=part, unit=unit, hits=hits, answer=row["answer"], refused=row["refused"],
        scores=scores,
    )  # fmt: skip


def find_again(lines: Sequence[QuestionLine], resolver: QuoteResolver) -> tuple[list[Question], list[tuple[str, str]]]:
    """Return questions with their evidence found in other documents by its quotes; and (id, why) of the lost ones."""
    found, lost = list[Question](), list[tuple[str, str]]()
    for number, line in enumerate(lines, start=1):
        needs: list[object] = [[_without_place(place, resolver.corpus) for place in need] for need in _needs(line)]
        try:
            again = dataclasses.replace(line, evidence=needs or None)
            found.append(build_question(again, resolver, f"question:{number}"))
        except BadInput as error:
            lost.append((line.id or f"line-{number}", error.problems[0].what))
    return found, lost


def _needs(line: QuestionLine) -> list[list[object]]:
    return [need if isinstance(need, list) else [need] for need in line.evidence or []]


def _without_place(place: object, corpus: Corpus) -> object:
    """Return evidence by its quote alone: where it stood says nothing of documents that changed."""
    if not isinstance(place, dict) or "quote" not in place:
        return place
    here = place.get("document") in corpus.position
    return {"quote": place["quote"], **({"document": place["document"]} if here else {})}


def save_questions(folder: Path, stored: Sequence[StoredQuestion]) -> None:
    """Write both files into a bundle's folder."""
    for name, lines in ((QUESTIONS, [one.line for one in stored]), (SEEN, [one.seen for one in stored])):
        content = (orjson.dumps(_without_defaults(strict.dump(line))) + b"\n" for line in lines)
        (folder / name).write_bytes(b"".join(content))


def _without_defaults(line: PlainDict) -> PlainDict:
    return {key: value for key, value in line.items() if value not in (None, "", [], {}) or key in ("hits", "answer")}


def load_questions(folder: Path) -> list[StoredQuestion]:
    """Return the questions of a bundle's folder; none where it holds none. Raises BadInput for lines that are wrong."""
    if not (folder / QUESTIONS).exists():
        return []
    lines = list(_read(folder / QUESTIONS, QuestionLine))
    seen = list(_read(folder / SEEN, Seen))
    if [line.id for line in lines] != [one.id for one in seen]:
        raise BadInput(f"{folder}: {QUESTIONS} and {SEEN} are not of the same questions")
    return [StoredQuestion(line=line, seen=one) for line, one in zip(lines, seen, strict=True)]


def _read(path: Path, kind: type[strict.Settings]) -> Iterator[strict.Settings]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            yield strict.load(kind, orjson.loads(line), path=f"{path.name}:{number}")


def select_evenly(stored: Sequence[StoredQuestion], most: int) -> list[StoredQuestion]:
    """Return at most so many of the questions, evenly spaced, the first among them."""
    if len(stored) <= most:
        return list(stored)
    return [stored[number * len(stored) // most] for number in range(most)]
