"""Chunks of similar pieces, by dynamic programming over their vectors."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import IntArray
from rag_opt.core.documents import Chunk, Document
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.defaults import ChunkerDefaults
from rag_opt.parts.interfaces import EmbedTexts
from rag_opt.text.cutting import Piece, cut, to_chunks
from rag_opt.text.tokens import Tokenizer, TokenMap
from rag_opt.text.trimming import trim


@register("chunker", "cluster")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Cluster(ChunkerDefaults):
    """Cut a document so that the pieces inside each chunk are together as similar as possible.

    Maximises the sum over chunks of their pieces' cosines above the document's mean, by dynamic programming (the
    ClusterSemanticChunker of Chroma's chunking report, Smith & Troynikov, 2024). There a chunk has at most
    `size / piece` pieces, however short they are; `bound: pieces` does the same.
    """

    size: Annotated[int, Ge(8), Le(32768), Doc("Largest chunk, in tokens of the embedder.")] = 224
    piece: Annotated[int, Ge(8), Le(512), Doc("Largest piece whose vector is compared, in tokens.")] = 48
    bound: Annotated[
        Literal["tokens", "pieces"], Doc("What limits a chunk: its tokens, or size / piece pieces, as published.")
    ] = "tokens"

    def pieces(self, document: Document, *, tokenizer: Tokenizer) -> list[str]:
        """Return the texts of the smallest pieces."""
        return [document.text[start:end] for start, end in self._cut(document.text, _map(document, tokenizer))]

    def split_by_vectors(self, document: Document, *, tokenizer: Tokenizer, vectors: EmbedTexts) -> list[Chunk]:
        """Return the chunks of the best segmentation."""
        text, tokens = document.text, _map(document, tokenizer)
        found = self._cut(text, tokens)
        if not found:
            return []
        known = vectors([text[start:end] for start, end in found])
        if self.bound == "pieces":
            sizes, most = np.ones(len(found), np.int64), max(self.size // self.piece, 1)
        else:
            ends = [*(start for start, _ in found[1:]), found[-1][1]]  # tokens may stand between pieces, in white space
            sizes = np.array([tokens.count(start, end) for (start, _), end in zip(found, ends, strict=True)])
            most = self.size
        edges = best_segmentation(known, sizes, most=most)
        return to_chunks(text, [(found[first][0], found[last - 1][1]) for first, last in edges])

    def _cut(self, text: str, tokens: TokenMap) -> list[Piece]:
        found = cut(text, (0, len(text)), tokens, size=min(self.piece, self.size))
        return [piece for one in found if (piece := trim(text, *one)) is not None]


def _map(document: Document, tokenizer: Tokenizer) -> TokenMap:
    return TokenMap(tokenizer.starts(document.text))


def best_segmentation(vectors: NDArray[np.float32], sizes: IntArray, *, most: int) -> list[tuple[int, int]]:
    """Return [first, last) of each segment of neighbouring rows.

    `sizes` of a segment sum to at most `most` (one row may be larger by itself). Of all such segmentations it is the
    one with the largest sum, over segments, of all pairs' cosines less the mean of all pairs.
    """
    count = len(vectors)
    total = vectors.sum(axis=0, dtype=float)
    mean = (float(total @ total) - count) / (count * (count - 1)) if count > 1 else 0.0
    before = np.concatenate([[0], np.cumsum(sizes)])
    best, opens = np.zeros(count + 1), np.zeros(count + 1, int)
    inside = np.zeros(count)  # of the segment from each row to the one before `last`
    for last in range(1, count + 1):
        first = min(int(np.searchsorted(before, before[last] - most)), last - 1)
        similar = vectors[first : last - 1].astype(float) @ vectors[last - 1].astype(float) - mean
        inside[first : last - 1] += 2 * similar[::-1].cumsum()[::-1]  # a segment that begins earlier has more pairs
        value = best[first:last] + inside[first:last]
        chosen = int(value.argmax())
        best[last], opens[last] = value[chosen], first + chosen
    edges, last = list[tuple[int, int]](), count
    while last > 0:
        edges.append((int(opens[last]), last))
        last = int(opens[last])
    return edges[::-1]
