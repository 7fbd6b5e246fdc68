"""Quotes and locators (an opening and a closing phrase), as a person can write them, resolved to exact offsets."""

from __future__ import annotations

import bisect
import functools
import re
import unicodedata
from array import array
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from rag_opt.core.documents import Corpus, Span
from rag_opt.data.normalized_text import NormalizedText, normalize

Place = tuple[int, int]

_WORD = re.compile(r"\S+")
MIN_QUOTE_CHARACTERS = 8  # wide ones, as Chinese has them, count twice
_MIN_SIMILARITY = 60.0  # of 100, by rapidfuzz's partial ratio
_GRAM, _GRAMS, _PLACES = 5, 24, 8  # characters, pieces of a quote and places of each that a hint is looked for by


def is_too_short(quote: str) -> bool:
    """Return whether a quote is too short to name a place: it would stand in too many."""
    return _width(normalize(quote).text.strip()) < MIN_QUOTE_CHARACTERS


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


class QuoteResolver:
    """Finds quotes and locators in a corpus. The corpus is normalised once, when it is first needed.

    `loose`: quotes that were found by their letters and digits alone; `moved`: those with offsets of another place.
    `left_out`: by name why a file is none of the documents. `lenient`: what is not found is no problem, since another
    reader may have it.
    """

    def __init__(
        self, corpus: Corpus, *, left_out: Mapping[str, str] = MappingProxyType({}), lenient: bool = False
    ) -> None:
        self.corpus, self.left_out = corpus, left_out
        self.loose = self.moved = 0
        self.lenient = lenient

    @functools.cached_property
    def _normalized(self) -> list[NormalizedText]:
        return [normalize(document.text) for document in self.corpus.documents]

    @functools.cached_property
    def _joined(self) -> tuple[str, list[int]]:
        """All documents in one string, and where each begins: one search finds a quote everywhere."""
        starts, offset = [], 0
        for normalized in self._normalized:
            starts.append(offset)
            offset += len(normalized.text) + 1
        return "\0".join(normalized.text for normalized in self._normalized), starts

    @functools.cached_property
    def _letters(self) -> tuple[str, array[int]]:
        """The letters and digits of `_joined` in one case, and where each stands there."""
        letters, places = list[str](), array("q")
        for place, character in enumerate(self._joined[0]):
            if character.isalnum():
                folded = character.casefold()
                letters.append(folded)
                places.extend([place] * len(folded))
            elif character == "\0":
                letters.append(character)
                places.append(place)
        return "".join(letters), places

    def find(self, quote: str) -> list[Span]:
        """Return every place in the corpus where the quote stands verbatim; white space and Unicode do not matter.

        Where it stands nowhere so, the one place where its letters and digits stand.
        """
        wanted = normalize(quote).text.strip()
        if not wanted:
            return []
        spans = [self._span(place, place + len(wanted)) for place in _occurrences(self._joined[0], wanted)]
        return spans or self._find_letters(wanted)

    def _find_letters(self, wanted: str) -> list[Span]:
        letters = "".join(character.casefold() for character in wanted if character.isalnum())
        if _width(letters) < MIN_QUOTE_CHARACTERS:
            return []
        text, places = self._letters
        found = text.find(letters)
        if found < 0 or text.find(letters, found + 1) >= 0:
            return []
        self.loose += 1
        return [self._span(places[found], places[found + len(letters) - 1] + 1)]

    def notes(self) -> list[str]:
        """Return what a person should know of how quotes were found."""
        notes = []
        if self.moved:
            counted = "in bytes, UTF-16 or other line ends?"
            notes.append(f"{self.moved} quotes do not stand at their offsets (counted {counted}): their text counts")
        if not self.loose:
            return notes
        return [
            *notes,
            f"{self.loose} quotes stand in the documents with other white space, marks or dashes (made by another "
            "reader?): each was taken for the one place with its letters and digits",
        ]

    def _span(self, start: int, end: int) -> Span:
        """Return the span of [start, end) of the joined text."""
        starts = self._joined[1]
        row = bisect.bisect_right(starts, start) - 1
        offset = starts[row]
        return Span(self.corpus.documents[row].id, *self._normalized[row].original(start - offset, end - offset))

    def describe_nearest(self, quote: str, document_id: str | None) -> str:
        """Return `; nearest is '…' at [start, end) of 'a.md'`, looking in one document or in all; or that none is."""
        span = self.find_like(quote, document_id, min_similarity=_MIN_SIMILARITY)
        if span is None:
            return "; nothing like it was found"
        return f"; nearest is {self.corpus.text(span)[:120]!r} at [{span.start}, {span.end}) of {span.document_id!r}"

    def find_like(self, quote: str, document_id: str | None, *, min_similarity: float) -> Span | None:
        """Return the passage that is most like a quote, in one document or in all.

        `min_similarity`: of 100, by rapidfuzz's partial ratio; None where nothing is as like.
        """
        from rapidfuzz import fuzz

        wanted, best, found = normalize(quote).text.strip(), min_similarity, None
        for start, end in self._windows(wanted, document_id):
            alignment = fuzz.partial_ratio_alignment(wanted, self._joined[0][start:end], score_cutoff=best)
            if alignment is not None and (found is None or alignment.score > best):
                best, found = alignment.score, (start + alignment.dest_start, start + alignment.dest_end)
        return None if found is None else self._span(*self._fit(wanted, *self._to_words(*found)))

    def _windows(self, wanted: str, document_id: str | None) -> Iterator[tuple[int, int]]:
        """Yield stretches of the joined text that share some characters with a quote, a few for each piece of it."""
        joined, starts = self._joined
        low, high = 0, len(joined)
        if document_id is not None:
            row = self.corpus.position[document_id]
            low, high = starts[row], starts[row] + len(self._normalized[row].text)
        seen, margin = set[int](), max(len(wanted) // 2, 10)
        step = max((len(wanted) - _GRAM) // _GRAMS, 1)
        for offset in range(0, max(len(wanted) - _GRAM, 0) + 1, step):
            gram = wanted[offset : offset + _GRAM]
            for place, _ in zip(_occurrences(joined, gram, low, high), range(_PLACES), strict=False):
                begin = place - offset
                if begin // margin in seen:
                    continue
                seen.add(begin // margin)
                row = bisect.bisect_right(starts, place) - 1
                last = starts[row] + len(self._normalized[row].text)
                yield max(begin - margin, starts[row]), min(begin + len(wanted) + margin, last)

    def _to_words(self, start: int, end: int) -> tuple[int, int]:
        """Return [start, end) of the joined text, widened to whole words."""
        joined = self._joined[0]
        while start > 0 and joined[start - 1].isalnum() and joined[start].isalnum():
            start -= 1
        while end < len(joined) and joined[end - 1].isalnum() and joined[end].isalnum():
            end += 1
        return start, end

    def _fit(self, wanted: str, start: int, end: int) -> tuple[int, int]:
        """Return [start, end) of the joined text without words at its ends that only make it less like a quote."""
        from rapidfuzz import fuzz

        joined = self._joined[0]
        while True:
            words = [(start + one.start(), start + one.end()) for one in _WORD.finditer(joined[start:end])]
            fewer = [(first, last) for (first, _), (_, last) in ((words[0], words[-1]), *_ends_cut(words))]
            best = max(fewer, key=lambda one: fuzz.ratio(wanted, joined[slice(*one)]))
            if best == (start, end):
                return best
            start, end = best

    def find_between(self, document_id: str, opening: str, closing: str) -> Span | str:
        """Return the span from an opening phrase, which must stand once, to the first closing phrase at or after it.

        Returns what is wrong, in words, when there is no such span.
        """
        normalized = self._normalized[self.corpus.position[document_id]]
        first, last = normalize(opening).text.strip(), normalize(closing).text.strip()
        count = normalized.text.count(first)
        if count != 1:
            return f"the opening phrase {opening!r} stands {count} times in {document_id!r}; it must stand once"
        start = normalized.text.index(first)
        end = normalized.text.find(last, start)
        if end < 0:
            return f"the closing phrase {closing!r} does not follow {opening!r} in {document_id!r}"
        return Span(document_id, *normalized.original(start, end + len(last)))

    def find_twins(self, span: Span) -> list[Span]:
        """Return the span and every other place where the same text stands: a twin passage is not a miss."""
        return sorted({span, *self.find(self.corpus.text(span))}, key=lambda twin: (twin != span, twin))


def _ends_cut(words: Sequence[Place]) -> Iterator[tuple[Place, Place]]:
    """Yield the first and last of some words without the first one, and without the last one."""
    if len(words) > 1:
        yield words[1], words[-1]
        yield words[0], words[-2]


def _occurrences(text: str, wanted: str, start: int = 0, end: int | None = None) -> Iterator[int]:
    """Yield where a text stands in another."""
    place = text.find(wanted, start, end)
    while place >= 0:
        yield place
        place = text.find(wanted, place + 1, end)
