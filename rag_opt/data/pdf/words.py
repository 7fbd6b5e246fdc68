"""Words and marks in lines of text: what a hyphen divides, what begins an item of a list."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

HYPHENS = "-‐\u00ad"
BULLETS = "•◦▪▫■□●○‣⁃∙·–—*-"
_MARK = rf"[{re.escape(BULLETS)}]|\(?(?:\d{{1,3}}|[a-zA-Z]|[ivx]{{1,5}})[.)]"
MARK = re.compile(_MARK)
ITEM = re.compile(rf"^({_MARK}|\d{{1,3}}(?:\.\d{{1,3}}){{1,4}}\.?)\s+(?=\S)")  # a line that begins with a mark
_CLOSES, _LONG_WORD = ".,;:!?)»”", 4  # letters
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


class Words:
    """The words of a document: they tell whether a hyphen at the end of a line belongs to its word."""

    def __init__(self, words: AbstractSet[str] = frozenset()) -> None:
        self._words = words

    @staticmethod
    def of_lines(lines: Iterable[str]) -> Words:
        """Return the words of lines, those at their ends left out: a hyphen there may not be the word's own."""
        return Words({word for line in lines for word in _WORD.findall(" ".join(line.split()[1:-1]).casefold())})

    def join(self, before: str, after: str) -> str:
        """Return two lines of a sentence as one text."""
        if not before or not after:
            return before + after
        if before[-1] not in HYPHENS or not before[-2:-1].isalpha() or not after[:1].islower():
            return f"{before} {after}" if not _is_wide(before[-1], after[0]) else before + after
        head, tail = before.rsplit(maxsplit=1)[-1].lstrip("(«“‘\"'"), after.split(maxsplit=1)[0].rstrip(_CLOSES)
        return before + after if self._is_own_hyphen(head, tail) else before[:-1] + after

    def _is_own_hyphen(self, head: str, tail: str) -> bool:
        """Return whether the hyphen between two lines belongs to its word: what the document says, else how it looks.

        Long words that both stand alone elsewhere (locale-specific), capitals (HIV-infected), words with another
        hyphen behind it (case-by-case), and addresses keep it.
        """
        if f"{head[:-1]}{tail}".casefold() in self._words:
            return False
        if f"{head}{tail}".casefold() in self._words or "//" in head or "-" in tail:
            return True
        first = head[:-1].rsplit("-", maxsplit=1)[-1]
        both = {first.casefold(), tail.casefold()} <= self._words
        return (len(first) > 1 and first.isupper()) or (both and min(len(first), len(tail)) >= _LONG_WORD)


def _is_wide(last: str, first: str) -> bool:
    """Return whether two characters are of a script that has no spaces between words."""
    return all("\u2e80" <= character <= "\u9fff" or "\uff00" <= character <= "\uffef" for character in (last, first))


def join_lines(lines: Iterable[str]) -> str:
    """Return the lines of a cell as one text."""
    return functools.reduce(Words().join, lines, "")
