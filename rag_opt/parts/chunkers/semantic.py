from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Chunk, Document
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.text.cutting import Piece, chunks_of, joined
from rag_opt.text.sentences import sentences
from rag_opt.text.tokens import Tokenizer, TokenMap


@register("chunker", "semantic")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Semantic:
    """Breaks where the text turns: where the cosine distance of neighbouring sentences, each embedded with `buffer`
    sentences on either side, is above the `percentile` of such distances in the document (Kamradt, 2024, as in
    LangChain's SemanticChunker). What lies between two breaks is joined up to `size` tokens.
    """

    size: Annotated[int, Ge(8), Le(32768)] = 224
    percentile: Annotated[float, Ge(0), Le(100)] = 95.0
    buffer: Annotated[int, Ge(0), Le(5)] = 1

    requires: ClassVar[frozenset[str]] = frozenset({"vectors"})

    def pieces(self, document: Document, *, tokenizer: Tokenizer) -> list[str]:
        """What is embedded: every sentence with its neighbours."""
        tokens = TokenMap(tokenizer.starts(document.text))
        found = self._sentences(document.text, tokens)
        return [document.text[start:end] for start, end in self._with_neighbours(found, tokens)]

    def split(
        self,
        document: Document,
        *,
        tokenizer: Tokenizer,
        vectors: Callable[[Sequence[str]], NDArray[np.float32]],
    ) -> list[Chunk]:
        text = document.text
        tokens = TokenMap(tokenizer.starts(text))
        found = self._sentences(text, tokens)
        if not found:
            return []
        known = vectors([text[start:end] for start, end in self._with_neighbours(found, tokens)])
        distances = 1 - np.einsum("nd,nd->n", known[:-1], known[1:])
        above = np.percentile(distances, self.percentile) if len(distances) else 0.0
        edges = [0, *(int(place) + 1 for place in np.flatnonzero(distances > above)), len(found)]
        segments = [found[first:last] for first, last in itertools.pairwise(edges)]
        return chunks_of(text, [piece for one in segments for piece in joined(one, tokens, size=self.size)])

    def _sentences(self, text: str, tokens: TokenMap) -> list[Piece]:
        found = sentences(text)
        return [piece for one in found for piece in tokens.windows(*one, size=self.size, step=self.size)]

    def _with_neighbours(self, found: Sequence[Piece], tokens: TokenMap) -> list[Piece]:
        """Each sentence with as many on either side as are no more than `size` tokens together: all of it is read."""
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
