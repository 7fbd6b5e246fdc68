"""Sentences by offset, in any script. Every character that is not white space belongs to one.

Unicode's rules (UAX #29) as ICU has them decide where a sentence may end; here is what they leave to languages:
abbreviations, ordinal numbers, what is said in quotes, list items and lines that are broken by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from icu4py.breakers import SentenceBreaker

from rag_opt.text.abbreviations import ALWAYS, BEFORE_NUMBER, STARTERS, WITH_ORDINALS, WITHOUT_ORDINALS
from rag_opt.text.trimming import trim

_LINE_END = re.compile(r"\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
_LIST_ITEM = re.compile(r"[ \t]*(?:[-*•+‣▪◦–—]|\(?\d{1,3}[.)]|\(?[a-z]\))[ \t]+(?=\S)")
_AS_SPACES = str.maketrans(dict.fromkeys("\n\r\x0b\x0c\x85\u2028\u2029", " "))
_CLOSERS = "\"'”’“‘»›)]}』」】）》〉"  # “ closes what „ opens
_OPENERS = "\"'“‘„‚«‹([{『「【（《〈¿¡"
_CLOSER_APART = re.compile(r"[»›”)\]}]+(?=\s|$)\s*")  # after a space, as French writes it
_OPENER_TAKEN = re.compile(r"[“‘『「【（《〈]+$")  # Unicode's rules take it for a closing one where no space is written
_NUMBER = re.compile(r"\(?\d+(?:\.\d+)*")
_ORDINAL = re.compile(r"\d{1,2}")
# ends that Unicode's rules do not know: an ellipsis before a capital letter, a full stop before a number or an iPhone,
# and the Greek question mark where Greek is written
_OTHER_END = re.compile(
    rf"(?:…[{re.escape(_CLOSERS)}]*\s+(?=[{re.escape(_OPENERS)}]*\w)"
    rf"|\.[{re.escape(_CLOSERS)}]*\s+(?=[{re.escape(_OPENERS)}]*(?:\d|[a-z]{{1,5}}[A-Z]))"
    rf"|[;\u037e][!?]*[{re.escape(_CLOSERS)}]*\s+)"
)
_GREEK = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff][»”’)]*$")
_NO_STOP = "၊"  # the Burmese comma, which Unicode's rules take for a full stop
_TOKENS, _PARTS = re.compile(r"[\s(\[{«“„\"/]"), re.compile(r"[.\-‐]")
_INITIAL = re.compile(r"\w\.")
_SAMPLE = 5000  # characters that a language is known by
_WINDOW, _WORD = 200, 20  # characters before and after an end that are looked at
# scripts with a full stop of their own: a dot is part of an abbreviation where that one is used
_OWN_STOPS = (
    (range(0x0530, 0x0590), "։"),  # Armenian
    (range(0x0900, 0x0E00), "।"),  # Devanagari and its sisters
    (range(0x1000, 0x10A0), "။"),  # Burmese
    (range(0x1200, 0x1400), "።"),  # Ethiopic
    (range(0x1780, 0x1800), "។"),  # Khmer
)
_GEORGIAN = range(0x10A0, 0x1100)  # has capital letters for headlines alone


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Return the half-open offsets of the sentences of `text`, in order, without the white space around them."""
    spans, ordinals = list[tuple[int, int]](), _writes_ordinals(text[:_SAMPLE])
    for start, end in _blocks(text):
        block = text[start:end].translate(_AS_SPACES)
        edges = [0, *_ends(block, ordinals=ordinals), len(block)]
        spans += [(start + left, start + right) for left, right in pairwise(edges)]
    return [trimmed for span in spans if (trimmed := trim(text, *span)) is not None]


def _writes_ordinals(text: str) -> bool:
    """Return whether a text looks like one of the languages in which `3. Oktober` is a date."""
    words = text.lower().split()
    return sum(word in WITH_ORDINALS for word in words) > sum(word in WITHOUT_ORDINALS for word in words)


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield the stretches of text that no sentence leaves: paragraphs and list items."""
    begin = start = 0
    for match in [*_LINE_END.finditer(text), None]:
        end = len(text) if match is None else match.start()
        is_blank = not text[start:end].strip()
        if is_blank or _LIST_ITEM.match(text, start, end):
            if start > begin:
                yield begin, start
            begin = start
        start = end if match is None else match.end()
        if is_blank:
            begin = start
    yield begin, len(text)


def _ends(block: str, *, ordinals: bool) -> list[int]:
    """Return where sentences end inside a block: behind the white space that follows them."""
    found, place = set[int](), 0
    for piece in SentenceBreaker(block, "en"):
        place += len(piece)
        found.add(place)
    found |= set(_other_ends(block))
    kept, begin, own_stops = list[int](), 0, [script for script, stop in _OWN_STOPS if stop == "։" or stop in block]
    for end in sorted(_moved(block, end) for end in found):
        if begin < end < len(block) and not _goes_on(block, begin, end, own_stops, ordinals=ordinals):
            kept.append(end)
            begin = end
    return kept


def _other_ends(block: str) -> Iterator[int]:
    for match in _OTHER_END.finditer(block):
        mark, before = match[0][0], block[max(match.start() - 3, 0) : match.start()]
        if mark == "…" and not block[match.end() : match.end() + 3].lstrip(_OPENERS)[:1].isupper():
            continue
        if mark in ";\u037e" and not _GREEK.search(before):
            continue
        yield match.end()


def _moved(block: str, end: int) -> int:
    """Return an end of a sentence behind the quote that closes it, and before the one that opens the next."""
    apart = _CLOSER_APART.match(block, end) if block[end - 1 : end].isspace() else None
    taken = _OPENER_TAKEN.search(block, max(end - 3, 0), end)
    return apart.end() if apart else taken.start() if taken else end


def _goes_on(block: str, begin: int, end: int, own_stops: Sequence[range], *, ordinals: bool) -> bool:
    """Return whether the sentence that begins at `begin` goes on behind what looks like its end.

    `own_stops`: scripts whose own full stop is used in the block.
    """
    said = block[max(end - _WINDOW, begin) : end].rstrip()
    following = block[end : end + 1]
    bare = said.rstrip(_CLOSERS + " \u00a0\u202f")
    if not bare:
        return False
    stop, quoted = bare[-1], len(bare) < len(said)
    if stop == ".":
        abbreviated = any(ord(bare[-2:-1] or " ") in script for script in own_stops)
        return abbreviated or _is_abbreviated(bare, block[end : end + _WORD], ordinals=ordinals)
    if quoted and following in "とって":  # 「…」と: what was said, then who said it
        return True
    if quoted and stop in "!?！？؟…":
        return following.islower() if _has_case(following) else following.isalpha()
    return stop in _NO_STOP


def _is_abbreviated(bare: str, after: str, *, ordinals: bool) -> bool:
    """Return whether the full stop at the end of `bare` belongs to an abbreviation, a number or an initial.

    `bare`: the sentence so far; `after`: what follows.
    """
    *before, token = [word for word in _TOKENS.split(bare[:-1]) if word] or [""]
    last = _PARTS.split(token)[-1]
    if not last:
        return False
    if _NUMBER.fullmatch(token):
        named = before and (before[-1].endswith(".") or (len(before) > 1 and not before[-1][0].islower()))
        is_ordinal = ordinals and not named and _ORDINAL.fullmatch(token) is not None  # not Hauptplatz 12
        return not before or is_ordinal  # first in a sentence it is that of a list
    word, lower = after.partition(" ")[0].strip(_OPENERS + _CLOSERS + ","), token.lower()
    if lower in ALWAYS or (word[:1].isdigit() and (lower in BEFORE_NUMBER or lower.endswith("str"))):  # Goethestr. 12
        return True
    starts = word.lower() in STARTERS and word[:1].isupper()
    return len(last) == 1 and last.isalpha() and not starts and _is_initial(last, word)


def _is_initial(letter: str, following: str) -> bool:
    return letter.isupper() or not _has_case(letter) or _INITIAL.match(following) is not None


def _has_case(character: str) -> bool:
    return character.lower() != character.upper() and ord(character) not in _GEORGIAN
