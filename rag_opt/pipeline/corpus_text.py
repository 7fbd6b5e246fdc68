"""The text of a corpus as stages ask for it again and again: contents, tokens and sentences by span."""

from __future__ import annotations

import functools

import numpy as np

from rag_opt.core.arrays import IntArray
from rag_opt.core.digests import digest
from rag_opt.core.documents import Citation, Corpus, Span
from rag_opt.core.questions import Alternative, LostPassage
from rag_opt.core.structure import Structure
from rag_opt.pipeline.text_maps import TextMaps
from rag_opt.text.markdown_blocks import blocks_of
from rag_opt.text.sentences import split_sentences
from rag_opt.text.tokenizer_names import DEFAULT_TOKENIZER, find_tokenizer
from rag_opt.text.tokens import Tokenizer, TokenMap
from rag_opt.text.trimming import trim

_DOCUMENTS_KEPT, _CHARACTERS_KEPT = 1024, 50_000_000
_BREAKS = "\n.?!;:。！？।؟"


class CorpusText:
    """Contents, tokens and sentences of one corpus, found once and kept with this object.

    `tokenizer`: name of the one that budgets are counted with. `repeats_headers`: whether a passage that begins inside
    a table has the table's header before it. `maps`: where tokens and sentences stand, of a corpus that was exported
    with them.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: str = DEFAULT_TOKENIZER,
        *,
        repeats_headers: bool = False,
        maps: TextMaps | None = None,
    ) -> None:
        self.corpus, self._repeats_headers = corpus, repeats_headers
        self._budget, self._maps = tokenizer, maps
        # caches of this object alone, so that they end with it; where looking again is cheap, of what was asked last
        keep = functools.cache if maps is None else functools.lru_cache(maxsize=_documents_kept(corpus))
        self.token_map = keep(self._read_tokens)
        self.sentence_bounds = keep(self._read_sentences)
        self.digest = keep(self._read_digest)
        self.structure = keep(self._read_structure)

    @functools.cached_property
    def breaks(self) -> int:
        """Number of documents, lines and marks that may end a sentence."""
        return sum(1 + sum(document.text.count(mark) for mark in _BREAKS) for document in self.corpus.documents)

    def of(self, span: Span) -> str:
        """Return the content of a span."""
        return self.corpus.text(span)

    def header(self, span: Span) -> str:
        """Return what a piece of a table lacks before it is read: its caption and header; empty elsewhere."""
        return self.structure(span.document_id).table_header(span.start) if self._repeats_headers else ""

    def passage(self, span: Span) -> str:
        """Return a passage as it is read: its content, and the header before a piece of a table."""
        header = self.header(span)
        return f"{header}\n{self.of(span)}" if header else self.of(span)

    def citation(self, span: Span) -> Citation:
        """Return where a span stands: its file, its page, the headings above it."""
        structure = self.structure(span.document_id)
        return Citation(span.document_id, structure.page(span.start), structure.headings(span.start))

    def passage_of(self, evidence: Alternative) -> str | None:
        """Return the text of evidence that is a passage; None for a page or a whole document."""
        if isinstance(evidence, Span):
            return self.of(evidence)
        return evidence.text if isinstance(evidence, LostPassage) else None

    def tokens(self, span: Span) -> int:
        """Return the size of a span in tokens of the tokenizer that budgets are counted with."""
        header = self.header(span)
        more = len(find_tokenizer(self._budget).starts(header)) if header else 0
        return self.token_map(span.document_id).count(span.start, span.end) + more

    def sentences(self, span: Span, *, tokenizer: Tokenizer, most_tokens: int) -> list[Span]:
        """Return the sentences that lie whole inside a span; one of more than `most_tokens` is cut into several."""
        starts, ends = self.sentence_bounds(span.document_id, tokenizer, most_tokens)
        first = int(starts.searchsorted(starts.dtype.type(span.start)))
        last = int(ends.searchsorted(ends.dtype.type(span.end), side="right"))
        return [Span(span.document_id, int(starts[i]), int(ends[i])) for i in range(first, last)]

    def _read_digest(self, document_id: str) -> str:
        return digest(self.corpus[document_id].text)

    def _read_structure(self, document_id: str) -> Structure:
        """Return the structure of a document; where no reader gave one, as Markdown has it."""
        document = self.corpus[document_id]
        return Structure(document.text, blocks_of(document), document.pages)

    def _read_tokens(self, document_id: str) -> TokenMap:
        """Return the tokens of a document that budgets are counted in."""
        if self._maps is not None:
            return TokenMap(self._maps.tokens.row(self.corpus.position[document_id]))
        return TokenMap(find_tokenizer(self._budget).starts(self.corpus[document_id].text))

    def _read_sentences(self, document_id: str, tokenizer: Tokenizer, most: int) -> tuple[IntArray, IntArray]:
        """Return starts and ends of a document's sentences; one of more than `most` tokens is cut into several."""
        if self._maps is not None and self._maps.sentences is not None:
            starts, ends = self._maps.sentences
            row = self.corpus.position[document_id]
            return starts.row(row), ends.row(row)
        text = self.corpus[document_id].text
        tokens = TokenMap(tokenizer.starts(text))
        cut = [piece for span in split_sentences(text) for piece in tokens.windows(*span, size=most, step=most)]
        found = np.array([trim(text, *piece) or piece for piece in cut], np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]


def _documents_kept(corpus: Corpus) -> int:
    """Return of how many documents something is kept: however long they are, of no more than so many characters."""
    longest = max((len(document.text) for document in corpus.documents), default=1)
    return max(1, min(_DOCUMENTS_KEPT, _CHARACTERS_KEPT // max(longest, 1)))
