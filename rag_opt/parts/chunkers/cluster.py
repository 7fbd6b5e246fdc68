from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import IntArray
from rag_opt.core.documents import Chunk, Document
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.text.cutting import Piece, chunks_of, cut
from rag_opt.text.sentences import trim
from rag_opt.text.tokens import Tokenizer, TokenMap


@register("chunker", "cluster")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Cluster:
    """The segmentation into chunks of at most `size` tokens whose pieces of about `piece` tokens are together most
    alike: the sum over chunks of their pieces' cosines above the document's mean, by dynamic programming (the
    ClusterSemanticChunker of Chroma's chunking report, Smith & Troynikov, 2024).

    Unlike there, the cap is one of tokens and always holds.
    """

    size: Annotated[int, Ge(8), Le(32768)] = 224
    piece: Annotated[int, Ge(8), Le(512)] = 48

    requires: ClassVar[frozenset[str]] = frozenset({"vectors"})

    def pieces(self, document: Document, *, tokenizer: Tokenizer) -> list[str]:
        """What is embedded: the smallest pieces of chunks."""
        return [document.text[start:end] for start, end in self._cut(document.text, _map(document, tokenizer))]

    def split(
        self,
        document: Document,
        *,
        tokenizer: Tokenizer,
        vectors: Callable[[Sequence[str]], NDArray[np.float32]],
    ) -> list[Chunk]:
        text, tokens = document.text, _map(document, tokenizer)
        found = self._cut(text, tokens)
        if not found:
            return []
        known = vectors([text[start:end] for start, end in found])
        sizes = np.array([tokens.count(*piece) for piece in found])
        edges = best_segmentation(known, sizes, most=self.size)
        return chunks_of(text, [(found[first][0], found[last - 1][1]) for first, last in edges])

    def _cut(self, text: str, tokens: TokenMap) -> list[Piece]:
        found = cut(text, (0, len(text)), tokens, size=min(self.piece, self.size))
        return [piece for one in found if (piece := trim(text, *one)) is not None]


def _map(document: Document, tokenizer: Tokenizer) -> TokenMap:
    return TokenMap(tokenizer.starts(document.text))


def best_segmentation(vectors: NDArray[np.float32], sizes: IntArray, *, most: int) -> list[tuple[int, int]]:
    """[first, last) of each segment of neighbouring rows whose `sizes` sum to at most `most` (one row may be larger),
    such that the sum over segments of all pairs' cosines less the mean of all pairs is largest.
    """
    count = len(vectors)
    total = vectors.sum(axis=0, dtype=float)
    mean = (float(total @ total) - count) / (count * (count - 1)) if count > 1 else 0.0
    before = np.concatenate([[0], np.cumsum(sizes)])
    best, opens = np.zeros(count + 1), np.zeros(count + 1, int)
    inside = np.zeros(count)  # of the segment from each row to the one before `last`
    for last in range(1, count + 1):
        first = min(int(np.searchsorted(before, before[last] - most)), last - 1)
        alike = vectors[first : last - 1].astype(float) @ vectors[last - 1].astype(float) - mean
        inside[first : last - 1] += 2 * alike[::-1].cumsum()[::-1]  # a segment that begins earlier has more pairs
        value = best[first:last] + inside[first:last]
        chosen = int(value.argmax())
        best[last], opens[last] = value[chosen], first + chosen
    edges, last = list[tuple[int, int]](), count
    while last > 0:
        edges.append((int(opens[last]), last))
        last = int(opens[last])
    return edges[::-1]
