from __future__ import annotations

import itertools
import re
from typing import Annotated

from annotated_types import Ge, Le, Lt
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.records import Chunk, Document
from rag_opt.registry import register
from rag_opt.sentences import trim
from rag_opt.tokens import Tokenizer, TokenMap

# From coarse to fine: paragraphs, lines, sentences, words. A cut falls after the separator.
_SEPARATORS = [re.compile(p) for p in (r"\n[ \t]*\n\s*", r"\n", r"(?<=[.!?…])\s+|(?<=[。！？])", r"\s+")]
_Span = tuple[int, int]


@register("chunker", "recursive")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recursive:
    """Cut at the coarsest separator that gives pieces of at most `size` tokens, then join neighbours up to `size`.

    The scheme of LangChain's RecursiveCharacterTextSplitter, on offsets. A chunk begins with the last
    whole pieces of the one before it, as many as fit into `overlap` of `size`.
    """

    size: Annotated[int, Ge(8), Le(32768)] = 224
    overlap: Annotated[float, Ge(0), Lt(1)] = 0.0

    def split(self, document: Document, *, tokenizer: Tokenizer) -> list[Chunk]:
        tokens = TokenMap(tokenizer.starts(document.text))
        spans = self._cut(document.text, (0, len(document.text)), 0, tokens)
        trimmed = [trim(document.text, start, end) for start, end in spans]
        return [Chunk(*span) for span in trimmed if span is not None]

    def _cut(self, text: str, span: _Span, level: int, tokens: TokenMap) -> list[_Span]:
        if tokens.count(*span) <= self.size:
            return [span]
        if level == len(_SEPARATORS):
            step = max(1, round(self.size * (1 - self.overlap)))
            return tokens.windows(*span, size=self.size, step=step)
        pieces = _split_after(_SEPARATORS[level], text, span)
        done: list[_Span] = []
        open_pieces: list[_Span] = []
        for piece in pieces:
            if tokens.count(*piece) > self.size:
                done += self._joined(open_pieces, tokens)
                open_pieces = []
                done += self._cut(text, piece, level + 1, tokens)
            else:
                open_pieces.append(piece)
        return done + self._joined(open_pieces, tokens)

    def _joined(self, pieces: list[_Span], tokens: TokenMap) -> list[_Span]:
        """Neighbouring pieces joined up to `size` tokens, with whole pieces shared as overlap."""
        chunks: list[_Span] = []
        window: list[_Span] = []
        for piece in pieces:
            if window and tokens.count(window[0][0], piece[1]) > self.size:
                chunks.append((window[0][0], window[-1][1]))
                while window and (
                    tokens.count(window[0][0], window[-1][1]) > self.overlap * self.size
                    or tokens.count(window[0][0], piece[1]) > self.size
                ):
                    window.pop(0)
            window.append(piece)
        return [*chunks, (window[0][0], window[-1][1])] if window else chunks


def _split_after(separator: re.Pattern[str], text: str, span: _Span) -> list[_Span]:
    start, end = span
    cuts = [match.end() for match in separator.finditer(text, start, end)]
    edges = [start, *(cut for cut in cuts if start < cut < end), end]
    return list(itertools.pairwise(edges))
