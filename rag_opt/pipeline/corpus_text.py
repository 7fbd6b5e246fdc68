"""The text of a corpus as stages ask for it again and again: contents, tokens and sentences by span."""

from __future__ import annotations

import functools

import numpy as np

from rag_opt.core.arrays import IntArray
from rag_opt.core.digests import digest
from rag_opt.core.documents import Corpus, Span
from rag_opt.text.sentences import split_sentences
from rag_opt.text.tokenizer_names import DEFAULT_TOKENIZER, find_tokenizer
from rag_opt.text.tokens import Tokenizer, TokenMap
from rag_opt.text.trimming import trim

_BREAKS = "\n.?!;:。！？।؟"


class CorpusText:
    """Contents, tokens and sentences of one corpus, found once and kept with this object.

    `tokenizer`: name of the one that budgets are counted with.
    """

    def __init__(self, corpus: Corpus, tokenizer: str = DEFAULT_TOKENIZER) -> None:
        self.corpus = corpus
        self._budget = tokenizer
        # caches of this object alone, so that they end with it
        self._tokens = functools.cache(self._read_tokens)
        self._sentences = functools.cache(self._read_sentences)
        self.digest = functools.cache(self._read_digest)

    @functools.cached_property
    def breaks(self) -> int:
        """Number of documents, lines and marks that may end a sentence."""
        return sum(1 + sum(document.text.count(mark) for mark in _BREAKS) for document in self.corpus.documents)

    def of(self, span: Span) -> str:
        """Return the content of a span."""
        return self.corpus.text(span)

    def tokens(self, span: Span) -> int:
        """Return the size of a span in tokens of the tokenizer that budgets are counted with."""
        return self._tokens(span.document_id).count(span.start, span.end)

    def sentences(self, span: Span, *, tokenizer: Tokenizer, most_tokens: int) -> list[Span]:
        """Return the sentences that lie whole inside a span; one of more than `most_tokens` is cut into several."""
        starts, ends = self._sentences(span.document_id, tokenizer, most_tokens)
        first = int(np.searchsorted(starts, span.start))
        last = int(np.searchsorted(ends, span.end, side="right"))
        return [Span(span.document_id, int(starts[i]), int(ends[i])) for i in range(first, last)]

    def _read_digest(self, document_id: str) -> str:
        return digest(self.corpus[document_id].text)

    def _read_tokens(self, document_id: str) -> TokenMap:
        return TokenMap(find_tokenizer(self._budget).starts(self.corpus[document_id].text))

    def _read_sentences(self, document_id: str, tokenizer: Tokenizer, most: int) -> tuple[IntArray, IntArray]:
        text = self.corpus[document_id].text
        tokens = TokenMap(tokenizer.starts(text))
        cut = [piece for span in split_sentences(text) for piece in tokens.windows(*span, size=most, step=most)]
        found = np.array([trim(text, *piece) or piece for piece in cut], np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]
