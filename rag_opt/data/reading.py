"""What all readers share: decoding strictly, naming places, collecting every problem before giving up."""

from __future__ import annotations

import codecs
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from rag_opt.core.documents import Corpus, Document
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.questions import Question
from rag_opt.data.document_file import kept

_MOST_PROBLEMS = 200
_LINE = re.compile(r"^(.*?):(\d+)")


class Problems:
    """Collects what is wrong with a data set, so that a person sees all of it at once."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, where: str, what: str) -> None:
        self.found.append(Problem(where, what))

    def refuse_if_any(self) -> None:
        if self.found:
            files = {_place(problem)[0]: None for problem in self.found}  # in the order of their first problem
            order = {file: number for number, file in enumerate(files)}
            found = sorted(self.found, key=lambda problem: (order[_place(problem)[0]], _place(problem)[1]))
            shown = found[:_MOST_PROBLEMS]
            if len(found) > len(shown):
                shown.append(Problem("", f"… and {len(found) - len(shown)} more"))
            raise BadInput(shown)


def _place(problem: Problem) -> tuple[str, int]:
    """File and line of a problem; line 0 where it names none."""
    match = _LINE.match(problem.where)
    return (match[1], int(match[2])) if match else (problem.where, 0)


def decode(path: Path, problems: Problems) -> str | None:
    """The text of a UTF-8 file, line ends as they are, without a byte order mark; None (and a problem) if it is not."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        problems.add(str(path), f"cannot be read: {error.strerror}")
        return None
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        problems.add(str(path), _not_utf8(error))
        return None


def json_lines(path: Path, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`file:line`, object) for every line that holds a JSON object; anything else is a problem."""
    for number, line in enumerate(_lines(path, problems), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            problems.add(where, f"is not JSON: {error}")
            continue
        if isinstance(value, dict):
            yield where, value
        else:
            problems.add(where, f"should be a JSON object, is {type(value).__name__}")


def _lines(path: Path, problems: Problems) -> Iterator[bytes]:
    """Lines one by one, so that the file need not be in memory; until the first that is not UTF-8."""
    place = 0
    try:
        with path.open("rb") as file:
            for line in file:
                line.decode("utf-8")
                yield line.removeprefix(codecs.BOM_UTF8) if place == 0 else line
                place += len(line)
    except UnicodeDecodeError as error:
        problems.add(str(path), _not_utf8(error, place))
    except OSError as error:
        problems.add(str(path), f"cannot be read: {error.strerror}")


def _not_utf8(error: UnicodeDecodeError, before: int = 0) -> str:
    bad = error.object[error.start : error.start + 1].hex()
    return f"is not UTF-8: byte 0x{bad} at offset {before + error.start}"


def check_unique(found: Iterable[tuple[str, str]], what: str, problems: Problems) -> None:
    """`found`: (id, where). Names both places of an id that stands twice."""
    first: dict[str, str] = {}
    for name, where in found:
        if name in first:
            problems.add(where, f"the {what} id {name!r} stands twice; first in {first[name]}")
        first.setdefault(name, where)


def make_corpus(documents: Iterable[Document], where: str, problems: Problems) -> Corpus:
    """Documents in the order of their ids; an empty one or an empty corpus is a problem."""
    try:
        found = kept(documents)
    except OSError as error:
        place = f"the documents could not be kept in a file of {tempfile.gettempdir()} (TMPDIR says where)"
        raise BadInput([Problem(where, f"{place}: {error.strerror or error}")]) from None
    if not found:
        problems.add(where, "there are no documents here")
    for document in found:
        if not document.text.strip():
            problems.add(f"{where} {document.id}", "the document is empty")
    return Corpus(found)


def check_questions(questions: Iterable[tuple[str, Question]], corpus: Corpus, problems: Problems) -> None:
    """Ids, texts, evidence inside its document, filters that some document fits."""
    pairs = list(questions)
    check_unique(((question.id, where) for where, question in pairs), "question", problems)
    if not pairs and not problems.found:
        problems.add("dataset", "there are no questions")
    for where, question in pairs:
        if not question.text.strip():
            problems.add(where, "the question is empty")
        if not question.answerable and question.evidence:
            problems.add(where, "is marked unanswerable, but has evidence")
        if question.filters:
            _check_filters(where, question, corpus, problems)
        for need in question.evidence or ():
            kinds = {type(alternative).__name__ for alternative in need}
            if len(kinds) > 1:
                problems.add(where, "mixes spans and whole documents in one need; they are scored differently")


def _check_filters(where: str, question: Question, corpus: Corpus, problems: Problems) -> None:
    """What may be returned must not be nothing, and must hold what satisfies each need."""
    filters = dict(question.filters)
    reachable = {name for name, metadata in zip(corpus.ids, corpus.metadata, strict=True) if _fits(metadata, filters)}
    if not reachable:
        problems.add(where, f"no document fits its filters {filters!r}")
        return
    for need in question.evidence or ():
        names = sorted({alternative.document_id for alternative in need})
        if not reachable.intersection(names):
            problems.add(where, f"its filters {filters!r} leave out where its evidence is: {', '.join(names)}")


def _fits(metadata: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
    return all(metadata.get(key) == value for key, value in filters.items())
