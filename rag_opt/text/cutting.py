"""Cut text by offset: at the coarsest separator that gives small enough pieces, then join neighbours."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence

from rag_opt.core.documents import Chunk
from rag_opt.text.tokens import TokenMap
from rag_opt.text.trimming import trim

Piece = tuple[int, int]  # half-open character offsets
Divide = Callable[[Piece], Sequence[Piece]]

# From coarse to fine: paragraphs, lines, sentences, words. A cut falls after the separator.
SEPARATORS = tuple(re.compile(p) for p in (r"\n[ \t]*\r?\n\s*", r"\n", r"(?<=[.!?…։؟۔।॥။።។])\s+|(?<=[。！？])", r"\s+"))


def cut(
    text: str,
    piece: Piece,
    tokens: TokenMap,
    *,
    size: int,
    overlap: float = 0.0,
    separators: Sequence[re.Pattern[str]] = SEPARATORS,
) -> list[Piece]:
    """Return pieces of at most `size` tokens that make up `piece`, cut at the coarsest separator that suffices.

    `overlap` in [0, 1): each piece begins with the last whole parts of the one before it, as many as fit into that
    share of `size`.
    """
    if tokens.count(*piece) <= size:
        return [piece]
    if not separators:
        return tokens.windows(*piece, size=size, step=max(1, round(size * (1 - overlap))))

    def finer(large: Piece) -> list[Piece]:
        return cut(text, large, tokens, size=size, overlap=overlap, separators=separators[1:])

    return pack_pieces(split_after(separators[0], text, piece), tokens, size=size, overlap=overlap, finer=finer)


def pack_pieces(
    pieces: Iterable[Piece], tokens: TokenMap, *, size: int, overlap: float = 0.0, finer: Divide
) -> list[Piece]:
    """Return neighbouring pieces joined up to `size` tokens; `finer` divides a piece that is larger by itself."""
    done: list[Piece] = []
    waiting: list[Piece] = []
    for piece in pieces:
        if tokens.count(*piece) > size:
            done += join_pieces(waiting, tokens, size=size, overlap=overlap)
            waiting = []
            done += finer(piece)
        else:
            waiting.append(piece)
    return done + join_pieces(waiting, tokens, size=size, overlap=overlap)


def join_pieces(pieces: Sequence[Piece], tokens: TokenMap, *, size: int, overlap: float = 0.0) -> list[Piece]:
    """Return neighbouring pieces joined up to `size` tokens; whole pieces are shared as overlap."""
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
    """Return the piece cut behind every match of the separator."""
    start, end = piece
    return split_at([match.end() for match in separator.finditer(text, start, end)], piece)


def split_at(cuts: Iterable[int], piece: Piece) -> list[Piece]:
    """Return the piece cut at these offsets; those that are not inside it do nothing."""
    start, end = piece
    edges = [start, *sorted({cut for cut in cuts if start < cut < end}), end]
    return list(itertools.pairwise(edges))


def to_chunks(text: str, pieces: Iterable[Piece]) -> list[Chunk]:
    """Return the pieces as chunks, without white space at their ends; empty ones are left out."""
    trimmed = (trim(text, start, end) for start, end in pieces)
    return [Chunk(*piece) for piece in trimmed if piece is not None]
