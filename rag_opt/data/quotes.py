"""Quotes and locators (an opening and a closing phrase), as a person can write them, resolved to exact offsets."""

from __future__ import annotations

import bisect
import functools
import re
import unicodedata
from dataclasses import dataclass

from rag_opt.core.documents import Corpus, Span

# Typographic marks that people type in their plain form; soft hyphens and zero-width characters are not typed at all.
_FOLD = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‐": "-", "‑": "-"})
_UNSEEN = {"\u00ad", "\u200b", "\u200c", "\u200d", "\ufeff", "\u2060"}
_PIECE = re.compile(r"\s+|.", re.DOTALL)
MIN_QUOTE_CHARACTERS = 8
_MIN_SIMILARITY = 60.0  # of 100, by rapidfuzz's partial ratio
_MAX_COMPARED = 3_000_000_000  # characters of quotes times characters of documents, all together: some seconds


@dataclass(frozen=True)
class NormalizedText:
    """Text with white space and Unicode made uniform, and for each of its characters where it came from."""

    text: str
    starts: list[int]
    ends: list[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return the offsets in the original text of [start, end) of this one."""
        return self.starts[start], self.ends[end - 1]


def normalize(text: str) -> NormalizedText:
    """Return NFKC piece by piece (a character with its combining marks), white space as one space, plain quotes."""
    characters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end in _pieces(text):
        piece = text[start:end]
        plain = " " if piece.isspace() else unicodedata.normalize("NFKC", piece).translate(_FOLD)
        plain = "".join(" " if c.isspace() else c for c in plain if c not in _UNSEEN)
        for character in plain:
            if character == " " and characters and characters[-1] == " ":
                ends[-1] = end
                continue
            characters.append(character)
            starts.append(start)
            ends.append(end)
    return NormalizedText("".join(characters), starts, ends)


def is_too_short(quote: str) -> bool:
    """Return whether a quote is too short to name a place: it would stand in too many."""
    return len(normalize(quote).text.strip()) < MIN_QUOTE_CHARACTERS


def _pieces(text: str) -> list[tuple[int, int]]:
    """Return the offsets of runs of white space and of characters with their combining marks."""
    pieces: list[tuple[int, int]] = []
    for match in _PIECE.finditer(text):
        if pieces and unicodedata.combining(match.group()[0]):
            pieces[-1] = (pieces[-1][0], match.end())
        else:
            pieces.append(match.span())
    return pieces


class QuoteResolver:
    """Finds quotes and locators in a corpus. The corpus is normalised once, when it is first needed."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._compared = 0

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

    def find(self, quote: str) -> list[Span]:
        """Return every place in the corpus where the quote stands verbatim; white space and Unicode do not matter."""
        wanted = normalize(quote).text.strip()
        if not wanted:
            return []
        joined, starts = self._joined
        spans, place = [], joined.find(wanted)
        while place >= 0:
            row = bisect.bisect_right(starts, place) - 1
            offset = place - starts[row]
            span = self._normalized[row].original(offset, offset + len(wanted))
            spans.append(Span(self.corpus.documents[row].id, *span))
            place = joined.find(wanted, place + 1)
        return spans

    def describe_nearest(self, quote: str, document_id: str | None) -> str:
        """Return `; nearest is '…' at [start, end) of 'a.md'`, looking in one document or in all.

        Empty when nothing is similar, or when too much was compared already.
        """
        from rapidfuzz import fuzz

        wanted = normalize(quote).text.strip()
        rows = range(len(self._normalized)) if document_id is None else [self.corpus.position[document_id]]
        self._compared += len(wanted) * sum(len(self._normalized[row].text) for row in rows)
        if self._compared > _MAX_COMPARED:
            return ""
        alignments = [(fuzz.partial_ratio_alignment(wanted, self._normalized[row].text), row) for row in rows]
        best, row = max(((one, row) for one, row in alignments if one is not None), key=lambda pair: pair[0].score)
        if best.score < _MIN_SIMILARITY:
            return ""
        start, end = self._normalized[row].original(best.dest_start, best.dest_end)
        document = self.corpus.documents[row]
        return f"; nearest is {document.text[start:end][:120]!r} at [{start}, {end}) of {document.id!r}"

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
