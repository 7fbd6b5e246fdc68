"""Cutting text by offset: at the coarsest separator that gives small enough pieces, then joining neighbours."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence

from rag_opt.core.documents import Chunk
from rag_opt.text.sentences import trim
from rag_opt.text.tokens import TokenMap

Piece = tuple[int, int]
Divide = Callable[[Piece], Sequence[Piece]]

# From coarse to fine: paragraphs, lines, sentences, words. A cut falls after the separator.
SEPARATORS = tuple(re.compile(p) for p in (r"\n[ \t]*\n\s*", r"\n", r"(?<=[.!?…])\s+|(?<=[。！？])", r"\s+"))


def cut(
    text: str,
    piece: Piece,
    tokens: TokenMap,
    *,
    size: int,
    overlap: float = 0.0,
    separators: Sequence[re.Pattern[str]] = SEPARATORS,
) -> list[Piece]:
    """A piece of the text in pieces of at most `size` tokens, cut at the coarsest separator that does it.

    Each begins with the last whole pieces of the one before it, as many as fit into `overlap` of `size`.
    """
    if tokens.count(*piece) <= size:
        return [piece]
    if not separators:
        return tokens.windows(*piece, size=size, step=max(1, round(size * (1 - overlap))))

    def finer(large: Piece) -> list[Piece]:
        return cut(text, large, tokens, size=size, overlap=overlap, separators=separators[1:])

    return packed(split_after(separators[0], text, piece), tokens, size=size, overlap=overlap, finer=finer)


def packed(pieces: Iterable[Piece], tokens: TokenMap, *, size: int, overlap: float = 0.0, finer: Divide) -> list[Piece]:
    """Neighbouring pieces joined up to `size` tokens; one that is larger by itself is divided by `finer`."""
    done: list[Piece] = []
    waiting: list[Piece] = []
    for piece in pieces:
        if tokens.count(*piece) > size:
            done += joined(waiting, tokens, size=size, overlap=overlap)
            waiting = []
            done += finer(piece)
        else:
            waiting.append(piece)
    return done + joined(waiting, tokens, size=size, overlap=overlap)


def joined(pieces: Sequence[Piece], tokens: TokenMap, *, size: int, overlap: float = 0.0) -> list[Piece]:
    """Neighbouring pieces joined up to `size` tokens, with whole pieces shared as overlap."""
    chunks: list[Piece] = []
    window: list[Piece] = []
    for piece in pieces:
        if window and tokens.count(window[0][0], piece[1]) > size:
            chunks.append((window[0][0], window[-1][1]))
            while window and (
                tokens.count(window[0][0], window[-1][1]) > overlap * size
                or tokens.count(window[0][0], piece[1]) > size
            ):
                window.pop(0)
        window.append(piece)
    return [*chunks, (window[0][0], window[-1][1])] if window else chunks


def split_after(separator: re.Pattern[str], text: str, piece: Piece) -> list[Piece]:
    start, end = piece
    return between([match.end() for match in separator.finditer(text, start, end)], piece)


def between(cuts: Iterable[int], piece: Piece) -> list[Piece]:
    """The piece cut at these offsets; those that are not inside it do nothing."""
    start, end = piece
    edges = [start, *sorted({cut for cut in cuts if start < cut < end}), end]
    return list(itertools.pairwise(edges))


def chunks_of(text: str, pieces: Iterable[Piece]) -> list[Chunk]:
    """The pieces as chunks, without white space at their ends; empty ones left out."""
    trimmed = (trim(text, start, end) for start, end in pieces)
    return [Chunk(*piece) for piece in trimmed if piece is not None]
