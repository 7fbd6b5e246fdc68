"""Questions as JSON lines: one format for a person's own questions and for the embedded ones."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core import strict
from rag_opt.core.documents import Span
from rag_opt.core.errors import BadInput, Problem, list_names, suggest_names
from rag_opt.core.questions import Alternative, LostPassage, Need, PageOfDocument, Question, WholeDocument
from rag_opt.core.readings import describe_pages
from rag_opt.core.strict import STRICT
from rag_opt.core.structure import Structure
from rag_opt.data.plain_lines import PlainLines
from rag_opt.data.quotes import MIN_QUOTE_CHARACTERS, QuoteResolver, is_too_short
from rag_opt.data.reading import JsonObject, Located, Problems, number_in, read_json_lines


@dataclass(frozen=True, kw_only=True, config=STRICT)
class QuestionLine:
    """One line of a file of questions.

    An alternative of a need is `{"document", "start", "end"}` (with the `quote` there to be checked), `{"quote"}` (with
    `document` if you like), `{"document", "from", "to"}` (an opening and a closing phrase), `{"document", "page"}`,
    `{"document"}` (all of it, with `relevance` if you like), or a bare quote.
    """

    question: Annotated[str, Doc("Text of the question.")]
    id: Annotated[str | None, Doc("Its name; without one it is named by the number of its line.")] = None
    answer: Annotated[list[str] | None, Doc("Reference answer, or several that are as right.")] = None
    evidence: Annotated[list[object] | None, Doc("Needs: each is one alternative or a list of them.")] = None
    filters: Annotated[dict[str, object] | None, Doc("Metadata that documents must have to be returned.")] = None
    exclude: Annotated[list[str] | None, Doc("Ids of documents that may not be returned.")] = None
    answerable: Annotated[bool, Doc("Whether the documents answer it.")] = True
    kind: Annotated[str, Doc("Free label, by which a report can group questions.")] = ""
    origin: Annotated[str, Doc("Who made it or found its evidence, where not the person who asked it.")] = ""


_SHAPES = (
    {"document", "start", "end"},
    {"document", "start", "end", "quote"},
    {"document", "start", "end", "text"},
    {"quote"},
    {"quote", "document"},
    {"document", "from", "to"},
    {"document", "page"},
    {"document"},
    {"document", "relevance"},
)


# what other programs call the keys
_CALLED = {
    "query": "question", "user_input": "question", "input": "question", "ground_truth": "answer",
    "ground_truths": "answer", "reference": "answer", "reference_answer": "answer", "expected_output": "answer",
    "expected_answer": "answer", "contexts": "evidence", "context": "evidence", "reference_contexts": "evidence",
}  # fmt: skip


def read_questions(
    path: Path, resolver: QuoteResolver, problems: Problems, notes: list[str] | None = None
) -> list[Located]:
    """Return (`file:line`, question) for every good line; what is wrong with the others goes to `problems`."""
    located: list[Located] = []
    left_out = Counter[str]()
    plain = PlainLines(
        QuestionLine,
        texts=("id", "question", "answer", "exclude"),
        lists=("answer", "evidence", "exclude"),
        called=_CALLED,
    )
    for where, data in read_json_lines(path, problems):
        try:
            line = strict.load(QuestionLine, plain.read(data, where), path=where)
            question = build_question(line, resolver, where)
        except _InFileLeftOut as error:
            left_out[error.name] += 1
            continue
        except BadInput as error:
            problems.collected += error.problems
            continue
        located.append((where, question))
    problems.collected[:0] = _describe_left_out(path, left_out, resolver)  # the cause comes before its effects
    if notes is not None:
        notes += plain.notes("questions")
    return located


def build_question(line: QuestionLine, resolver: QuoteResolver, where: str) -> Question:
    """Return a line as a question, its evidence resolved. Raises BadInput naming everything that does not resolve."""
    evidence = resolve_evidence(line.evidence, resolver, where)
    if evidence == () and line.answerable:
        what = 'evidence is empty: say "answerable": false, or leave evidence out if it is not known'
        raise BadInput([Problem(where, what)])
    answers = [text for text in line.answer or () if text]
    return Question(
        id=line.id or f"line-{number_in(where)}",
        text=line.question,
        reference_answer=answers[0] if answers else None,
        evidence=evidence or None,
        filters=line.filters or {},
        answerable=line.answerable,
        kind=line.kind,
        origin=line.origin,
        other_answers=tuple(dict.fromkeys(answers[1:])),
        exclude=tuple(line.exclude or ()),
    )


class _InFileLeftOut(BadInput):
    """Evidence that names a file which is none of the documents. `name`: of the file."""

    def __init__(self, name: str, where: str) -> None:
        super().__init__([Problem(where, f"its evidence is in {name!r}, which was left out")])
        self.name = name


def _describe_left_out(path: Path, counts: Counter[str], resolver: QuoteResolver) -> list[Problem]:
    """Return one problem for all evidence in files that were left out, with the reason of each of some."""
    if not counts:
        return []
    files = [f"{name} ({count}; {resolver.left_out[name]})" for name, count in counts.most_common()]
    what = f"{counts.total()} questions have their evidence in files that were left out: {list_names(files)}"
    return [Problem(str(path), what)]


def resolve_evidence(evidence: Sequence[object] | None, resolver: QuoteResolver, where: str) -> tuple[Need, ...] | None:
    """Return needs with exact offsets. Raises BadInput naming every alternative that does not resolve."""
    if evidence is None:
        return None
    problems: list[Problem] = []
    needs: list[Need] = []
    for number, given in enumerate(evidence):
        alternatives: list[Alternative] = []
        for alternative in given if isinstance(given, list) else [given]:
            try:
                alternatives += _resolve(alternative, resolver, f"{where} evidence[{number}]")
            except _InFileLeftOut:
                raise
            except BadInput as error:
                problems += error.problems
        if given == []:
            problems.append(Problem(f"{where} evidence[{number}]", "is an empty list of alternatives"))
        needs.append(tuple(dict.fromkeys(alternatives)))
    if problems:
        raise BadInput(problems)
    return tuple(dict.fromkeys(needs))


def _resolve(given: object, resolver: QuoteResolver, where: str) -> list[Alternative]:
    """Return the places that one alternative names: twins of a passage are alternatives, too."""
    if isinstance(given, str):
        given = {"quote": given}
    if not isinstance(given, dict) or set(given) not in _SHAPES:
        shapes = " or ".join("{" + ", ".join(sorted(shape)) + "}" for shape in _SHAPES)
        raise BadInput([Problem(where, f"is {given!r}; should be a quote or {shapes}")])
    if resolver.lenient and given.get("document") in resolver.left_out:
        return [_in_no_reading_yet(given, where)]
    return _resolve_shape(given, resolver, where)


def _resolve_shape(given: JsonObject, resolver: QuoteResolver, where: str) -> list[Alternative]:
    if "document" in given:
        given = {**given, "document": _find_document(given["document"], resolver, where)}
    quote = given.get("quote", given.get("text"))
    if "start" in given and quote is not None:
        return [*_check_offsets(given, str(quote), resolver, where)]
    if "quote" in given:
        named = str(given["document"]) if "document" in given else None
        return [*_resolve_quote(str(given["quote"]), named, resolver, where)]
    document = str(given["document"])
    if "from" in given:
        span = resolver.find_between(document, str(given["from"]), str(given["to"]))
        if isinstance(span, str):
            raise BadInput([Problem(where, span)])
        return [*resolver.find_twins(span)]
    if "start" in given:
        return [_to_span(given, resolver, where)]
    if "page" in given:
        return _resolve_page(document, given["page"], resolver, where)
    return [WholeDocument(document, _relevance(given, where))]


def _in_no_reading_yet(given: JsonObject, where: str) -> Alternative:
    """Return evidence in a file of which this reader made no document, as another reader may find it."""
    document, quote, page = str(given["document"]), given.get("quote", given.get("text")), given.get("page")
    if quote is not None:
        return LostPassage(document, str(quote))
    if isinstance(page, int):
        return PageOfDocument(document, page, 0, 0)
    if set(given) <= {"document", "relevance"}:
        return WholeDocument(document, _relevance(given, where))
    raise _InFileLeftOut(document, where)


def _find_document(name: object, resolver: QuoteResolver, where: str) -> str:
    """Return the id of a document; its Unicode form does not matter: a Mac writes names of files in another."""
    known = resolver.corpus.position
    if isinstance(name, str) and name in known:
        return name
    same = [one for one in known if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", str(name))]
    if isinstance(name, str) and name in resolver.left_out:
        raise _InFileLeftOut(name, where)
    if len(same) != 1:
        raise BadInput([Problem(where, f"there is no document {name!r}{suggest_names(name, known)}")])
    return same[0]


def _resolve_page(document: str, page: object, resolver: QuoteResolver, where: str) -> list[Alternative]:
    """Return the pieces of a document's text that are a page of it."""
    found = resolver.corpus[document]
    pages = sorted({number for _, number in found.pages})
    if not isinstance(page, int) or isinstance(page, bool) or page < 1:
        raise BadInput([Problem(where, f"page is {page!r}; should be a whole number of at least 1")])
    if not pages:
        raise BadInput([Problem(where, f"names page {page} of {document!r}, whose text has no pages")])
    pieces = Structure.of(found).page_spans(page)
    if not pieces and resolver.lenient:  # another reader may have it
        return [PageOfDocument(document, page, 0, 0)]
    if not pieces:
        with_text = f"pages with text are {describe_pages(pages)}"
        raise BadInput([Problem(where, f"page {page} of {document!r} has no text; {with_text}")])
    return [PageOfDocument(document, page, *piece) for piece in pieces]


def _resolve_quote(quote: str, document: str | None, resolver: QuoteResolver, where: str) -> list[Alternative]:
    if is_too_short(quote):
        raise BadInput(
            [Problem(where, f"the quote {quote!r} is shorter than {MIN_QUOTE_CHARACTERS} characters; give offsets")]
        )
    spans = resolver.find(quote)
    in_document = [span for span in spans if document in (None, span.document_id)]
    if not in_document and resolver.lenient:  # another reader may have it
        return [LostPassage(document or "", quote)]
    if not in_document:
        where_not = f"in {document!r}" if document is not None else "in any document"
        nearest = resolver.describe_nearest(quote, document)
        raise BadInput([Problem(where, f"the quote does not stand {where_not}: {quote[:80]!r}{nearest}")])
    return [*in_document, *(span for span in spans if span not in in_document)]


def _check_offsets(given: JsonObject, quote: str, resolver: QuoteResolver, where: str) -> list[Span]:
    """Return the place of a quote with offsets, which may have been counted in bytes, UTF-16 or other line ends."""
    document = str(given["document"])
    spans = [span for span in resolver.find(quote) if span.document_id == document]
    start, end = given["start"], given["end"]
    there = [span for span in spans if (span.start, span.end) == (start, end)]
    if there:
        return there
    if len(spans) == 1:
        resolver.moved += 1
        return spans
    what = f"[{start!r}, {end!r}) of {document!r} is not {quote[:80]!r}"
    raise BadInput([Problem(where, f"{what}, which stands there {len(spans)} times")])


def _to_span(given: JsonObject, resolver: QuoteResolver, where: str) -> Span:
    document, start, end = str(given["document"]), given["start"], given["end"]
    length = len(resolver.corpus[document].text)
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= length):
        what = f"[{start!r}, {end!r}) is not a span of {document!r}; should be 0 <= start < end <= {length}"
        raise BadInput([Problem(where, what)])
    return Span(document, start, end)


def _relevance(given: JsonObject, where: str) -> int:
    relevance = given.get("relevance", 1)
    if not isinstance(relevance, int) or relevance < 1:
        raise BadInput([Problem(where, f"relevance is {relevance!r}; should be a whole number of at least 1")])
    return relevance


def to_question_line(question: Question) -> JsonObject:
    """Return a question as a line that `read_questions` reads, evidence by exact offsets."""
    line: JsonObject = {"id": question.id, "question": question.text}
    if question.reference_answer is not None:
        answers = [question.reference_answer, *question.other_answers]
        line["answer"] = answers if question.other_answers else question.reference_answer
    if question.evidence:
        line["evidence"] = [[_to_plain(alternative) for alternative in need] for need in question.evidence]
    if question.filters:
        line["filters"] = dict(question.filters)
    if question.exclude:
        line["exclude"] = list(question.exclude)
    if not question.answerable:
        line["answerable"] = False
    labels = {"kind": question.kind, "origin": question.origin}
    return line | {name: label for name, label in labels.items() if label}


def _to_plain(alternative: Alternative) -> JsonObject:
    if isinstance(alternative, Span):
        return {"document": alternative.document_id, "start": alternative.start, "end": alternative.end}
    if isinstance(alternative, PageOfDocument):
        return {"document": alternative.document_id, "page": alternative.page}
    if isinstance(alternative, LostPassage):
        document = {"document": alternative.document_id} if alternative.document_id else {}
        return {**document, "quote": alternative.text}
    return {"document": alternative.document_id, "relevance": alternative.relevance}


def describe_origins(questions: Sequence[Question]) -> list[str]:
    """Return a note for each origin of questions that nobody asked, or whose evidence was found for them."""
    counts = Counter(question.origin for question in questions if question.origin)
    return [f"{count} of {len(questions)} questions: {origin}" for origin, count in counts.most_common()]
