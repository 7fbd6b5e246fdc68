"""Questions as JSON lines: one format for a person's own questions and for the embedded ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass

from rag_opt.core import strict as config
from rag_opt.core.documents import Span
from rag_opt.core.errors import BadInput, Problem, among
from rag_opt.core.questions import Alternative, Need, Question, WholeDocument
from rag_opt.core.strict import STRICT
from rag_opt.data.quotes import SHORTEST_QUOTE, Resolver, normalize
from rag_opt.data.reading import Problems, json_lines


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Line:
    """One line. `evidence` is a list of needs; a need is one alternative or a list of them.

    An alternative is `{"document", "start", "end"}`, `{"quote"}` (with `document` if you like),
    `{"document", "from", "to"}` (an opening and a closing phrase), `{"document"}` (all of it), or a bare quote.
    `origin`: who made the question or found its evidence, where that was no person who asked it.
    """

    question: str
    id: str | None = None
    answer: str | None = None
    evidence: list[Any] | None = None
    filters: dict[str, Any] | None = None
    answerable: bool = True
    kind: str = ""
    origin: str = ""


_SHAPES = (
    {"document", "start", "end"},
    {"quote"},
    {"quote", "document"},
    {"document", "from", "to"},
    {"document"},
    {"document", "relevance"},
)


def read_questions(path: Path, resolver: Resolver, problems: Problems) -> list[tuple[str, Question]]:
    """(`file:line`, question) for every good line; what is wrong with the others goes to `problems`."""
    read: list[tuple[str, Question]] = []
    for where, data in json_lines(path, problems):
        try:
            line = config.load(Line, data, path=where)
            evidence = resolve_evidence(line.evidence, resolver, where)
        except BadInput as error:
            problems.found += error.problems
            continue
        if evidence == () and line.answerable:
            problems.add(where, 'evidence is empty: say "answerable": false, or leave evidence out if it is not known')
            continue
        number = where.rpartition(":")[2]
        question = Question(
            id=line.id or f"line-{number}",
            text=line.question,
            reference_answer=line.answer,
            evidence=evidence or None,
            filters=line.filters or {},
            answerable=line.answerable,
            kind=line.kind,
            origin=line.origin,
        )
        read.append((where, question))
    return read


def resolve_evidence(evidence: list[Any] | None, resolver: Resolver, where: str) -> tuple[Need, ...] | None:
    """Needs with exact offsets. Raises BadInput naming every alternative that does not resolve."""
    if evidence is None:
        return None
    problems: list[Problem] = []
    requires: list[Need] = []
    for number, need in enumerate(evidence):
        found: list[Alternative] = []
        for one in need if isinstance(need, list) else [need]:
            try:
                found += _alternatives(one, resolver, f"{where} evidence[{number}]")
            except BadInput as error:
                problems += error.problems
        if need == []:
            problems.append(Problem(f"{where} evidence[{number}]", "is an empty list of alternatives"))
        requires.append(tuple(dict.fromkeys(found)))
    if problems:
        raise BadInput(problems)
    return tuple(dict.fromkeys(requires))


def _alternatives(one: Any, resolver: Resolver, where: str) -> list[Alternative]:
    if isinstance(one, str):
        one = {"quote": one}
    if not isinstance(one, dict) or set(one) not in _SHAPES:
        shapes = " or ".join("{" + ", ".join(sorted(shape)) + "}" for shape in _SHAPES)
        raise BadInput([Problem(where, f"is {one!r}; should be a quote or {shapes}")])
    if "document" in one and one["document"] not in resolver.corpus.position:
        known = among(one["document"], resolver.corpus.position)
        raise BadInput([Problem(where, f"there is no document {one['document']!r}{known}")])
    if "quote" in one:
        return [*_quoted(str(one["quote"]), one.get("document"), resolver, where)]
    document = str(one["document"])
    if "from" in one:
        span = resolver.between(document, str(one["from"]), str(one["to"]))
        if isinstance(span, str):
            raise BadInput([Problem(where, span)])
        return [*resolver.twins(span)]
    if "start" in one:
        return [_offsets(one, resolver, where)]
    return [WholeDocument(document, _relevance(one, where))]


def _quoted(quote: str, document: str | None, resolver: Resolver, where: str) -> list[Span]:
    if len(normalize(quote).text.strip()) < SHORTEST_QUOTE:
        raise BadInput(
            [Problem(where, f"the quote {quote!r} is shorter than {SHORTEST_QUOTE} characters; give offsets")]
        )
    spans = resolver.quote(quote)
    in_document = [span for span in spans if document in (None, span.document_id)]
    if not in_document:
        place = f"in {document!r}" if document is not None else "in any document"
        close = resolver.nearest(quote, document)
        raise BadInput([Problem(where, f"the quote does not stand {place}: {quote[:80]!r}{close}")])
    return [*in_document, *(span for span in spans if span not in in_document)]


def _offsets(one: dict[str, Any], resolver: Resolver, where: str) -> Span:
    start, end, length = one["start"], one["end"], len(resolver.corpus[one["document"]].text)
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= length):
        what = f"[{start!r}, {end!r}) is not a span of {one['document']!r}; should be 0 <= start < end <= {length}"
        raise BadInput([Problem(where, what)])
    return Span(one["document"], start, end)


def _relevance(one: dict[str, Any], where: str) -> int:
    relevance = one.get("relevance", 1)
    if not isinstance(relevance, int) or relevance < 1:
        raise BadInput([Problem(where, f"relevance is {relevance!r}; should be a whole number of at least 1")])
    return relevance


def question_line(question: Question) -> dict[str, Any]:
    """A question as a line that `read_questions` reads, evidence by exact offsets."""

    def plain(one: Alternative) -> dict[str, Any]:
        if isinstance(one, Span):
            return {"document": one.document_id, "start": one.start, "end": one.end}
        return {"document": one.document_id, "relevance": one.relevance}

    line: dict[str, Any] = {"id": question.id, "question": question.text}
    if question.reference_answer is not None:
        line["answer"] = question.reference_answer
    if question.evidence:
        line["evidence"] = [[plain(one) for one in need] for need in question.evidence]
    if question.filters:
        line["filters"] = dict(question.filters)
    if not question.answerable:
        line["answerable"] = False
    return line | {name: value for name in ("kind", "origin") if (value := getattr(question, name))}


def origins(questions: Sequence[Question]) -> list[str]:
    """What a person should know of questions that nobody asked, or whose evidence was found for them; empty if none."""
    counted = Counter(question.origin for question in questions if question.origin)
    return [f"{count} of {len(questions)} questions: {origin}" for origin, count in counted.most_common()]
