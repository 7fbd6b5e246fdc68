"""Text in one form, with a way back to where each character came from."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

# typographic marks that people type in their plain form
_PLAIN = {"'": "‘’‚‛‹›′´`ʼ", '"': "“”„‟«»″＂", "-": "‐‑‒–—―−﹣－", ".": "․"}
_FOLD = str.maketrans({mark: plain for plain, marks in _PLAIN.items() for mark in marks})
_PIECE = re.compile(r"[!-~]+|\s+|.", re.DOTALL)


@dataclass(frozen=True)
class NormalizedText:
    """Text with white space and Unicode made uniform, and for each of its characters where it came from."""

    text: str
    starts: array[int]
    ends: array[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return the offsets in the original text of [start, end) of this one."""
        return self.starts[start], self.ends[end - 1]


def normalize(text: str) -> NormalizedText:
    """Return NFKC piece by piece, white space as one space, plain quotes and dashes, nothing that cannot be seen.

    A piece is a character with its marks and vowel signs, or a Korean syllable.
    """
    parts = list[str]()
    starts, ends = array("q"), array("q")
    after_space = False
    for start, end in _pieces(text):
        piece = text[start:end]
        if piece.isascii() and not piece.isspace():
            parts.append(piece)
            starts.extend(range(start, end))
            ends.extend(range(start + 1, end + 1))
            after_space = False
            continue
        for character in _plain(piece):
            if character == " " and after_space:
                ends[-1] = end
                continue
            parts.append(character)
            starts.append(start)
            ends.append(end)
            after_space = character == " "
    return NormalizedText("".join(parts), starts, ends)


def _plain(piece: str) -> str:
    """Return how a piece is compared: nothing for what cannot be seen."""
    if piece.isspace():
        return " "
    plain = unicodedata.normalize("NFKC", piece.translate(_FOLD)).translate(_FOLD)
    return "".join(" " if c.isspace() else c for c in plain if unicodedata.category(c) != "Cf")


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Yield the offsets of runs of white space and of plain characters, and of others with all that joins them."""
    begin, end = 0, 0
    for match in _PIECE.finditer(text):
        if end > begin and _joins(match[0][0]) and not text[end - 1].isspace():
            if match.start() - begin > 1 and text[begin:end].isascii():  # the last of a run of plain ones
                yield begin, end - 1
                begin = end - 1
            end = match.end()
            continue
        if end > begin:
            yield begin, end
        begin, end = match.span()
    if end > begin:
        yield begin, end


def _joins(character: str) -> bool:
    """Return whether a character is part of what stands before it: a mark, a vowel sign, the rest of a syllable."""
    if character < "\u0300":
        return False
    return unicodedata.category(character) in ("Mn", "Mc", "Me") or "\u1160" <= character <= "\u11ff"
