"""Evidence that was resolved on one reading of the files, found again in another by its words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rag_opt.core.corpus_readings import CorpusReading
from rag_opt.core.documents import Corpus, Span
from rag_opt.core.questions import Alternative, LostPassage, Need, PageOfDocument, Question, WholeDocument
from rag_opt.core.structure import Structure
from rag_opt.data.quotes import QuoteResolver

_MIN_SIMILARITY = 90.0  # of 100, by rapidfuzz: what is less like is another passage
_AROUND = 60  # characters before and behind a short passage, by which the right one of several is told
_SHORT = 40


def find_evidence(questions: Sequence[Question], base: Corpus, other: Corpus) -> CorpusReading:
    """Return another reading of the files, with where it has the evidence of questions that were resolved on `base`.

    `base` may be asked for itself: how much of the evidence it has.
    A passage is looked for by its words, in its own file: verbatim first (white space, marks and Unicode forms do not
    matter), then by what is at least 90 % like it. What is not there is a LostPassage.
    """
    resolver, lost = QuoteResolver(other), Counter[str]()
    evidence, needs, kept = dict[str, tuple[Need, ...]](), 0, 0
    for question in questions:
        if question.evidence is None:
            continue
        found = [_find_need(need, base, resolver) for need in question.evidence]
        evidence[question.id] = tuple(found)
        needs += len(found)
        for need in found:
            is_lost = all(isinstance(one, LostPassage) for one in need)
            kept += not is_lost
            if is_lost:
                lost[need[0].document_id or "no file named"] += 1
    return CorpusReading(other, evidence, needs, kept, dict(lost.most_common()))


def _find_need(need: Need, base: Corpus, resolver: QuoteResolver) -> Need:
    """Return the alternatives of a need that another reading has; one lost passage where it has none."""
    found: list[Alternative] = []
    for alternative in need:
        found += _find(alternative, base, resolver)
    if found:
        return tuple(dict.fromkeys(found))
    first = need[0]
    return (first if isinstance(first, LostPassage) else LostPassage(first.document_id, _words(first, base)),)


def _words(alternative: Alternative, base: Corpus) -> str:
    if isinstance(alternative, Span | PageOfDocument) and alternative.document_id in base.position:
        return base[alternative.document_id].text[alternative.start : alternative.end]
    return alternative.document_id


def _find(alternative: Alternative, base: Corpus, resolver: QuoteResolver) -> list[Alternative]:
    corpus, name = resolver.corpus, alternative.document_id
    if name and name not in corpus.position:
        return []
    if isinstance(alternative, LostPassage):
        return _find_quote(alternative, resolver)
    if isinstance(alternative, PageOfDocument):
        return _find_page(alternative, base, resolver)
    if corpus is base or isinstance(alternative, WholeDocument):
        return [alternative]
    return _find_span(alternative, base, resolver)


def _find_quote(lost: LostPassage, resolver: QuoteResolver) -> list[Alternative]:
    """Return where a quote stands that the base reading does not have."""
    places = [place for place in resolver.find(lost.text) if lost.document_id in ("", place.document_id)]
    like = None if places else resolver.find_like(lost.text, lost.document_id or None, min_similarity=_MIN_SIMILARITY)
    return [*places] if like is None else [like]


def _find_page(page: PageOfDocument, base: Corpus, resolver: QuoteResolver) -> list[Alternative]:
    """Return a page of another reading; where that has no pages, the text that stands on it in the base reading."""
    name, is_there = page.document_id, page.end > page.start  # else the base reading has nothing on that page
    if resolver.corpus is base:
        return [page] if is_there else []
    pieces = Structure.of(resolver.corpus[name]).page_spans(page.page)
    if pieces or not is_there:
        return [PageOfDocument(name, page.page, *piece) for piece in pieces]
    place = resolver.find_like(_words(page, base), name, min_similarity=_MIN_SIMILARITY)
    return [PageOfDocument(name, page.page, place.start, place.end)] if place is not None else []


def _find_span(span: Span, base: Corpus, resolver: QuoteResolver) -> list[Alternative]:
    """Return every place of a passage in its file; of a short one the place whose surroundings are like its own."""
    quote, text = base.text(span), base[span.document_id].text
    places = [place for place in resolver.find(quote) if place.document_id == span.document_id]
    if len(places) == 1 or (places and len(quote) >= _SHORT):
        return [*places]
    if len(quote) < _SHORT:
        around = text[max(span.start - _AROUND, 0) : span.end + _AROUND]
        wide = resolver.find_like(around, span.document_id, min_similarity=_MIN_SIMILARITY - 20)
        inside = [p for p in places if wide is not None and wide.start <= p.start and p.end <= wide.end]
        return [*(inside or places)]
    place = resolver.find_like(quote, span.document_id, min_similarity=_MIN_SIMILARITY)
    return [place] if place is not None else []
