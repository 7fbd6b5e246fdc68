"""Questions without a language model: rough stand-ins, taken from what documents say of themselves."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rag_opt.core.documents import Block, Corpus, Document, Span
from rag_opt.core.questions import Question
from rag_opt.core.structure import heading_title
from rag_opt.data.quotes import QuoteResolver
from rag_opt.testset.passages import interleave_documents
from rag_opt.text.markdown_blocks import blocks_of
from rag_opt.text.sentences import split_sentences
from rag_opt.text.trimming import trim

# kind -> share of such questions that a reader found worth asking, with the evidence right (docs/history.md)
CONFIDENCE = {"asked": 0.75, "definition": 0.8, "heading": 0.75, "title": 0.8}
_NAMES = {
    "asked": "a question that stands in the documents",
    "definition": "what is …, from a definition",
    "heading": "a heading",
    "title": "a title",
}
_BEGINNING = 2000  # characters, in which a heading says what a title would
_QUESTION_MARKS = "?？؟;"
# a heading, or a paragraph by itself
_ASKED = re.compile(
    r"(?:\A|\n)(?:#{1,6} +(?P<heading>[^\r\n]{8,200}[?？؟])"
    r"|(?:(?<=\n\n)|(?<=\n\r\n))(?P<line>[^\r\n]{12,200}[?？؟])(?=[ \t]*\r?\n))[ \t*_]*(?:\r?\n)+"
)
_MARKED = re.compile(r"^(?:[#*_\-•\s]|\d+(?:\.\d+)*[.)]?\s|Q(?:uestion)?\s*\d*\s*[:.)])+")
_ANSWER_MARK = re.compile(r"^A(?:nswer)?\s*\d*\s*[:.)]\s*")
_RULED = re.compile(r"\s*[=*\-~^#_]{3,}[ \t]*\n")  # the line below a heading
_MIN_WORDS, _MAX_EVIDENCE = 8, 1200  # of a body: words at least, characters at most
_MAX_ANSWER_WORDS = 80
_TITLE_WORDS = (2, 12)
_GENERAL = 3  # documents in which a heading stands so often says nothing by itself


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# ISO 639-1 -> between a term and its definition, and how one asks for it
_DEFINITIONS: dict[str, tuple[str, str]] = {
    "en": (r"(?:is|are) (?:an?|one of the) ", "What is {}?"),
    "de": (r"(?:ist|sind) (?:ein|eine) ", "Was ist {}?"),
    "fr": (r"est une? ", "Qu'est-ce que {} ?"),
    "es": (r"es una? ", "¿Qué es {}?"),
    "it": (r"è (?:uno?|una) ", "Che cos'è {}?"),
    "pt": (r"é uma? ", "O que é {}?"),
    "nl": (r"is een ", "Wat is {}?"),
}
_ASKING = _words(
    "what how why when where who whose which can could do does did is are should will would may must was wie "
    "warum wann wo wer welche welcher kann darf muss comment pourquoi quand où qui quel quelle qué cómo cuándo "
    "dónde quién cuál puedo che cosa come perché quando dove chi quale posso como porquê onde quem qual wat "
    "hoe waarom wanneer waar welke"
)
_ARTICLES = "the|an?|der|die|das|eine?|les?|la|une?|el|una?|il|lo|uno|os?|as?|de|het|een"
_TERM = re.compile(
    rf"(?:(?P<article>{_ARTICLES})\s+)?(?P<term>[^\W\d_][\w'’.+#/-]*(?: [\w'’.+#/-]+){{0,3}})", re.IGNORECASE
)
# what stands in a sentence that defines nothing
_POINTING = _words(
    "this that these those it there here he she they we you i one what which who when where if in on at for as "
    "with its his her their our your my another each every both some all most many such so but and or also "
    "however thus then not no while since although because below above following first second next last other "
    "same result purpose reason goal dies diese dieser dieses das es er sie wir hier dort was wer wenn während "
    "folgende ce cette ces il elle ils c'est cela ici esto este eso ella ellos aquí mientras questo questa "
    "esso qui isto isso ele ela aqui dit dat"
)
_PRAISE = re.compile(
    r"(?:very |most |more )*(?:important|essential|great|good|key|major|big|few|little|lot|bit|matter|good|real)\b"
)


@dataclass(frozen=True)
class _Found:
    """A question, and the place that answers it."""

    kind: str
    text: str
    span: Span
    answer: str | None = None

    @property
    def document_id(self) -> str:
        """Id of the document where it was found."""
        return self.span.document_id


def make_by_rule(corpus: Corpus, *, count: int, seed: int) -> list[Question]:
    """Return up to `count` questions that the documents themselves suggest, with their evidence.

    Questions that stand there with an answer below, definitions turned round, headings and titles, in turns; documents
    take turns, too. Each says how it was made and with what confidence. They are fewer and easier than what people ask.
    """
    resolver = QuoteResolver(corpus)
    by_kind = {kind: interleave_documents(_unique(_find_all(kind, corpus)), seed=seed) for kind in CONFIDENCE}
    turns = itertools.chain.from_iterable(itertools.zip_longest(*by_kind.values()))
    by_text: dict[str, _Found] = {}
    for found in turns:
        if found is not None and len(by_text) < count:
            by_text.setdefault(found.text.casefold().strip(" ?？؟:."), found)
    return [_to_question(number, one, resolver) for number, one in enumerate(by_text.values(), start=1)]


def _to_question(number: int, found: _Found, resolver: QuoteResolver) -> Question:
    origin = f"rough, made by rule: {_NAMES[found.kind]} (confidence {CONFIDENCE[found.kind]:g})"
    need = tuple(resolver.find_twins(found.span))
    return Question(f"made-{number:04d}", found.text, found.answer, (need,), kind=f"made: {found.kind}", origin=origin)


def _find_all(kind: str, corpus: Corpus) -> Iterator[_Found]:
    if kind == "heading":
        yield from _find_headings(corpus)
        return
    find = {"asked": _find_asked, "definition": _find_definitions, "title": _find_title}[kind]
    for document in corpus.documents:
        yield from find(document, corpus.language)


def _unique(every: Iterator[_Found]) -> list[_Found]:
    """Return what is asked once: a term that is defined twice, or a heading of two documents, has no one answer."""
    found = list(every)
    counts = Counter(one.text.casefold() for one in found)
    return [one for one in found if counts[one.text.casefold()] == 1]


def _find_asked(document: Document, language: str) -> Iterator[_Found]:
    """Yield headings and paragraphs that are a question, with the paragraphs below them."""
    for match in _ASKED.finditer(document.text):
        text = _MARKED.sub("", match["heading"] or match["line"]).strip(" *_")
        words = [word.casefold().strip("¿¡,'\"") for word in text.split()]
        begins_as_one = bool(words) and (words[0] in _ASKING or words[0].partition("'")[0] in _ASKING)
        if len(words) < 3 or text[0].islower() or ":" in text or not (match["heading"] or begins_as_one):
            continue
        body = _body(document.text, match.end())
        if body is None or document.text[slice(*body)].rstrip()[-1] in _QUESTION_MARKS:
            continue
        said = _ANSWER_MARK.sub("", " ".join(document.text[slice(*body)].split()))
        answer = said if len(said.split()) <= _MAX_ANSWER_WORDS else None
        yield _Found("asked", text, Span(document.id, *body), answer)


def _body(text: str, start: int) -> tuple[int, int] | None:
    """Return the paragraphs from an offset on, up to the next heading; None where they say too little."""
    ruled = _RULED.match(text, start)
    start = end = ruled.end() if ruled else start
    for paragraph in re.finditer(r"(?:[^\n]+(?:\n|$))+", text[start : start + 2 * _MAX_EVIDENCE]):
        said = paragraph[0].strip()
        if end > start and (said.startswith("#") or said.endswith(tuple("?？؟:")) or paragraph.end() > _MAX_EVIDENCE):
            break
        end = start + min(paragraph.end(), _MAX_EVIDENCE)
    found = trim(text, start, end)
    return found if found is not None and len(text[slice(*found)].split()) >= _MIN_WORDS else None


def _find_definitions(document: Document, language: str) -> Iterator[_Found]:
    """Yield sentences that say what their subject is."""
    if language not in _DEFINITIONS:
        return
    between, question = _DEFINITIONS[language]
    verb = re.compile(rf" (?:\([^()]{{1,60}}\) )?{between}(?!{_PRAISE.pattern})")
    for start, end in split_sentences(document.text):
        sentence = document.text[start:end]
        match = verb.search(sentence[:120])
        if match is None or "\n\n" in sentence or not _MIN_WORDS <= len(sentence.split()) <= 60:
            continue
        subject = _TERM.fullmatch(" ".join(sentence[: match.start()].split()).strip("*`_ "))
        if subject is None or {word.casefold() for word in subject["term"].split()} & _POINTING:
            continue
        named = subject["article"] is not None or subject["term"][0].isupper()
        if not named or sentence.rstrip().endswith(":"):
            continue
        article = f"{subject['article'].lower()} " if subject["article"] else ""
        asked = question.format(f"{article}{subject['term']}")
        if language == "en" and re.match(r" (?:\([^()]*\) )?are ", match[0]):
            asked = f"What are {article}{subject['term']}?"
        yield _Found("definition", asked, Span(document.id, start, end), " ".join(sentence.split()))


def _find_headings(corpus: Corpus) -> Iterator[_Found]:
    """Yield headings with what stands below them; one that stands in many documents with the title before it."""
    sections: list[tuple[str, str, Span]] = []
    for document in corpus.documents:
        places = _headings(document)
        for number, block in enumerate(places):
            title = heading_title(document.text[block.start : block.end])
            line_end = document.text.find("\n", block.start)
            next_one = places[number + 1].start if number + 1 < len(places) else len(document.text)
            body = _body(document.text[:next_one], line_end) if 0 <= line_end < next_one else None
            if body is not None and not title.endswith(tuple(_QUESTION_MARKS)):
                sections.append((title, document.title, Span(document.id, *body)))
    counts = Counter(title.casefold() for title, _, _ in sections)
    for title, document_title, span in sections:
        general = counts[title.casefold()] >= _GENERAL
        text = f"{document_title}: {title}" if general and document_title else title
        if _TITLE_WORDS[0] <= len(text.split()) <= _TITLE_WORDS[1]:
            yield _Found("heading", text, span)


def _headings(document: Document) -> list[Block]:
    return [block for block in blocks_of(document) if block.kind == "heading"]


def _find_title(document: Document, language: str) -> Iterator[_Found]:
    """Yield the title of a document, where it is one of words, with its first paragraphs."""
    title = " ".join(document.title.split())
    if not _TITLE_WORDS[0] <= len(title.split()) <= _TITLE_WORDS[1] or any(
        block.start < _BEGINNING for block in _headings(document)
    ):
        return
    start = len(title) if document.text.startswith(title) else 0
    body = _body(document.text, start)
    if body is not None:
        yield _Found("title", title, Span(document.id, *body))
