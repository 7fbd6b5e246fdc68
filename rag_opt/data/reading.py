"""The ground of all data sets: decode strictly, name places, collect every problem before giving up."""

from __future__ import annotations

import codecs
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from rag_opt.core.documents import Corpus, Document, Span
from rag_opt.core.errors import BadInput, Problem, Unreadable, suggest_names
from rag_opt.core.filters import fit, read_conditions
from rag_opt.core.questions import LostPassage, Question
from rag_opt.data.decoding import describe_not_utf8, read_bytes
from rag_opt.data.document_file import collect_documents

JsonObject = dict[str, object]
Located = tuple[str, Question]  # a question and where it stands, as `file:line`
_MAX_PROBLEMS_SHOWN = 200
_PLACE = re.compile(r"^(.*?):(\d+)")


class Problems:
    """Problems of a data set, collected so that a person sees all of them at once."""

    def __init__(self) -> None:
        self.collected: list[Problem] = []

    def add(self, where: str, what: str) -> None:
        """Note one problem."""
        self.collected.append(Problem(where, what))

    def raise_if_any(self) -> None:
        """Raise BadInput with all problems, file by file and line by line."""
        if self.collected:
            files = {_file_and_line(problem)[0]: None for problem in self.collected}  # as their first problems came
            order = {file: number for number, file in enumerate(files)}

            def place(problem: Problem) -> tuple[int, int]:
                file, line = _file_and_line(problem)
                return order[file], line

            problems = sorted(self.collected, key=place)
            shown = problems[:_MAX_PROBLEMS_SHOWN]
            if len(problems) > len(shown):
                shown.append(Problem("", f"… and {len(problems) - len(shown)} more"))
            raise BadInput(shown)


def _file_and_line(problem: Problem) -> tuple[str, int]:
    """Return the file and the line that a problem names; line 0 where it names none."""
    match = _PLACE.match(problem.where)
    return (match[1], int(match[2])) if match else (problem.where, 0)


def read_utf8(path: Path) -> str:
    """Return the text of a file, line ends as they are, without a byte order mark. Raises Unreadable."""
    try:
        return read_bytes(path).decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise Unreadable(describe_not_utf8(error)) from None


def read_utf8_or_report(path: Path, problems: Problems) -> str | None:
    """Return the text of a UTF-8 file as `read_utf8` does; None, and a problem, where it is unreadable."""
    try:
        return read_utf8(path)
    except Unreadable as error:
        problems.add(str(path), str(error))
        return None


def read_json_lines(path: Path, problems: Problems) -> Iterator[tuple[str, JsonObject]]:
    """Yield (`file:line`, object) for every line that holds a JSON object; anything else is a problem.

    A file that is one JSON array instead gives its objects, each at `file[number]`.
    """
    if _begins_with(path, b"["):
        yield from _read_array(path, problems)
        return
    for number, line in enumerate(_read_lines(path, problems), start=1):
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


def _begins_with(path: Path, character: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4096).removeprefix(codecs.BOM_UTF8).lstrip().startswith(character)
    except OSError:
        return False


def _read_array(path: Path, problems: Problems) -> Iterator[tuple[str, JsonObject]]:
    values = read_json(path, problems)
    for number, value in enumerate(values if isinstance(values, list) else [], start=1):
        if isinstance(value, dict):
            yield f"{path}[{number}]", value
        else:
            problems.add(f"{path}[{number}]", f"should be a JSON object, is {type(value).__name__}")


def read_json(path: Path, problems: Problems) -> object:
    """Return what a JSON file holds; None, and a problem, where it holds none."""
    text = read_utf8_or_report(path, problems)
    if text is None:
        return None
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, RecursionError) as error:
        problems.add(str(path), f"is not JSON: {error}")
        return None


def number_in(where: str) -> str:
    """Return the number of a line or an element that a place ends with."""
    match = re.search(r"(\d+)\]?$", where)
    return match[1] if match else where


def _read_lines(path: Path, problems: Problems) -> Iterator[bytes]:
    """Yield lines one by one, so that the file need not be in memory, until the first that is not UTF-8."""
    offset = 0
    try:
        with path.open("rb") as file:
            for line in file:
                line.decode("utf-8")
                yield line.removeprefix(codecs.BOM_UTF8) if offset == 0 else line
                offset += len(line)
    except UnicodeDecodeError as error:
        problems.add(str(path), describe_not_utf8(error, offset))
    except OSError as error:
        problems.add(str(path), f"cannot be read: {error.strerror}")


def check_unique(located_ids: Iterable[tuple[str, str]], noun: str, problems: Problems) -> None:
    """Report every id that stands twice, with both places. `located_ids`: (id, where); `noun`: what they name."""
    first: dict[str, str] = {}
    for name, where in located_ids:
        if name in first:
            problems.add(where, f"the {noun} id {name!r} stands twice; first in {first[name]}")
        first.setdefault(name, where)


def build_corpus(documents: Iterable[Document], where: str, problems: Problems) -> Corpus:
    """Return the documents in the order of their ids; an empty one or an empty corpus is a problem.

    Raises BadInput where they are too many for memory and no file can hold them.
    """
    try:
        collected = collect_documents(documents)
    except OSError as error:
        what = f"the documents could not be kept in a file of {tempfile.gettempdir()} (TMPDIR says where)"
        raise BadInput([Problem(where, f"{what}: {error.strerror or error}")]) from None
    if not collected:
        problems.add(where, "there are no documents here")
    for document in collected:
        if not document.text.strip():
            problems.add(f"{where} {document.id}", "the document is empty")
    return Corpus(collected)


def check_questions(located: Iterable[Located], corpus: Corpus, problems: Problems) -> None:
    """Report questions with a wrong id, text or evidence, and filters that no document fits."""
    pairs = list(located)
    check_unique(((question.id, where) for where, question in pairs), "question", problems)
    if not pairs and not problems.collected:
        problems.add("dataset", "there are no questions")
    for where, question in pairs:
        if not question.text.strip():
            problems.add(where, "the question is empty")
        if not question.answerable and question.evidence:
            problems.add(where, "is marked unanswerable, but has evidence")
        if question.filters:
            _check_filters(where, question, corpus, problems)
        for name in question.exclude:
            if name not in corpus.position:
                problems.add(where, f"excludes {name!r}, which is no document{suggest_names(name, corpus.position)}")
        for need in question.evidence or ():
            if question.exclude and all(one.document_id in question.exclude for one in need):
                problems.add(where, f"excludes all that answers it: {', '.join(question.exclude)}")
            by_character = {isinstance(alternative, Span | LostPassage) for alternative in need}
            if len(by_character) > 1:
                problems.add(where, "mixes spans with pages or documents in one need; they are scored differently")


def describe_cut_words(located: Iterable[Located], corpus: Corpus) -> list[str]:
    """Return a note where most evidence begins or ends inside a word, as offsets do that were counted otherwise."""
    spans = [a for _, question in located for a in question.alternatives if isinstance(a, Span)]
    cut = sum(_cuts_a_word(corpus[span.document_id].text, span) for span in spans)
    if 2 * cut <= len(spans):
        return []
    return [
        f"{cut} of {len(spans)} spans of evidence begin or end inside a word: were their offsets counted in bytes, in "
        "UTF-16, or with other line ends? A `quote` beside them is checked"
    ]


def _cuts_a_word(text: str, span: Span) -> bool:
    return any(
        0 < edge < len(text) and all(c.isalpha() and c.lower() != c.upper() for c in text[edge - 1 : edge + 1])
        for edge in (span.start, span.end)
    )


def _check_filters(where: str, question: Question, corpus: Corpus, problems: Problems) -> None:
    """Report filters that leave no document, or leave out all that satisfies a need."""
    filters = dict(question.filters)
    try:
        conditions = read_conditions(filters, where=f"{where} filters")
    except BadInput as error:
        problems.collected += error.problems
        return
    reachable = {name for name, metadata in zip(corpus.ids, corpus.metadata, strict=True) if fit(metadata, conditions)}
    if not reachable:
        problems.add(where, f"no document fits its filters {filters!r}")
        return
    for need in question.evidence or ():
        names = sorted({alternative.document_id for alternative in need})
        if not reachable.intersection(names):
            problems.add(where, f"its filters {filters!r} leave out where its evidence is: {', '.join(names)}")
