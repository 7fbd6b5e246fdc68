"""Chunks that break where neighbouring sentences are unlike."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Chunk, Document
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.defaults import ChunkerDefaults
from rag_opt.parts.interfaces import EmbedTexts
from rag_opt.text.cutting import Piece, join_pieces, to_chunks
from rag_opt.text.lines import sentences_and_lines
from rag_opt.text.tokens import Tokenizer, TokenMap


@register("chunker", "semantic")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Semantic(ChunkerDefaults):
    """Break the text where its subject changes.

    A break lies where the cosine distance of neighbouring sentences is above a percentile of such distances in the
    document (Kamradt, 2024, as in LangChain's SemanticChunker). Sentences between two breaks are joined up to `size`.
    """

    size: Annotated[int, Ge(8), Le(32768), Doc("Largest chunk, in tokens of the embedder.")] = 224
    percentile: Annotated[
        float, Ge(0), Le(100), Doc("Distances above this percentile of the document's are breaks.")
    ] = 95.0
    buffer: Annotated[int, Ge(0), Le(5), Doc("Sentences on either side that are embedded with a sentence.")] = 1

    def pieces(self, document: Document, *, tokenizer: Tokenizer) -> list[str]:
        """Return every sentence with its neighbours."""
        tokens = TokenMap(tokenizer.starts(document.text))
        found = self._sentences(document, tokens)
        return [document.text[start:end] for start, end in self._with_neighbours(found, tokens)]

    def split_by_vectors(self, document: Document, *, tokenizer: Tokenizer, vectors: EmbedTexts) -> list[Chunk]:
        """Return the sentences between two breaks, joined up to `size` tokens."""
        text = document.text
        tokens = TokenMap(tokenizer.starts(text))
        found = self._sentences(document, tokens)
        if not found:
            return []
        known = vectors([text[start:end] for start, end in self._with_neighbours(found, tokens)])
        distances = 1 - np.einsum("nd,nd->n", known[:-1], known[1:])
        above = np.percentile(distances, self.percentile) if len(distances) else 0.0
        edges = [0, *(int(place) + 1 for place in np.flatnonzero(distances > above)), len(found)]
        segments = [found[first:last] for first, last in itertools.pairwise(edges)]
        return to_chunks(text, [piece for one in segments for piece in join_pieces(one, tokens, size=self.size)])

    def _sentences(self, document: Document, tokens: TokenMap) -> list[Piece]:
        found = sentences_and_lines(document)
        return [piece for one in found for piece in tokens.windows(*one, size=self.size, step=self.size)]

    def _with_neighbours(self, found: Sequence[Piece], tokens: TokenMap) -> list[Piece]:
        """Return each sentence with as many neighbours as fit into `size` tokens, so that the model reads all of it."""
        last, spans = len(found) - 1, []
        for place in range(len(found)):
            span = found[place]
            for reach in range(1, self.buffer + 1):
                wider = (found[max(place - reach, 0)][0], found[min(place + reach, last)][1])
                if tokens.count(*wider) > self.size:
                    break
                span = wider
            spans.append(span)
        return spans
