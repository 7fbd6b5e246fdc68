"""Passages of a corpus, of which questions are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

from rag_opt.core.documents import Corpus, Span
from rag_opt.text.cutting import cut
from rag_opt.text.tokenizer_names import DEFAULT_TOKENIZER, find_tokenizer
from rag_opt.text.tokens import TokenMap
from rag_opt.text.trimming import trim

_MIN_WORDS = 20


def cut_passages(corpus: Corpus, *, size: int) -> list[Span]:
    """Return every document in passages of at most `size` tokens, as budgets are counted.

    Passages that hold too little text to ask anything of are left out.
    """
    tokenizer, passages = find_tokenizer(DEFAULT_TOKENIZER), list[Span]()
    for document in corpus.documents:
        tokens = TokenMap(tokenizer.starts(document.text))
        for piece in cut(document.text, (0, len(document.text)), tokens, size=size):
            trimmed = trim(document.text, *piece)
            if trimmed is not None and len(document.text[slice(*trimmed)].split()) >= _MIN_WORDS:
                passages.append(Span(document.id, *trimmed))
    return passages


class InDocument(Protocol):
    """What stands in a document."""

    @property
    def document_id(self) -> str:
        """Id of the document."""
        ...


Place = TypeVar("Place", bound=InDocument)


def interleave_documents(places: Sequence[Place], *, seed: int) -> list[Place]:
    """Return the places in a random order in which documents take turns: a long one does not fill the beginning."""
    random = np.random.default_rng(seed)
    by_document: dict[str, list[Place]] = {}
    for row in random.permutation(len(places)):
        by_document.setdefault(places[row].document_id, []).append(places[row])
    groups = [by_document[name] for name in sorted(by_document)]
    groups = [groups[row] for row in random.permutation(len(groups))]
    turns = range(max(map(len, groups), default=0))
    return [group[turn] for turn in turns for group in groups if turn < len(group)]


def is_within(inner: Span, outer: Span) -> bool:
    """Return whether all of one span lies in the other."""
    return inner.document_id == outer.document_id and outer.start <= inner.start and inner.end <= outer.end
