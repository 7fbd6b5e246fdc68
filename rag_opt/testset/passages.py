"""Passages of a corpus: what questions are made of."""

from __future__ import annotations

import numpy as np

from rag_opt.core.documents import Corpus, Span
from rag_opt.text.cutting import cut
from rag_opt.text.sentences import trim
from rag_opt.text.tokens import TokenMap, budget_tokenizer

_FEWEST_WORDS = 20


def passages(corpus: Corpus, *, size: int) -> list[Span]:
    """Every document in passages of at most `size` tokens of the budget's tokenizer; those that hold too little text to
    ask anything of are left out.
    """
    tokenizer, found = budget_tokenizer(), list[Span]()
    for document in corpus.documents:
        tokens = TokenMap(tokenizer.starts(document.text))
        for piece in cut(document.text, (0, len(document.text)), tokens, size=size):
            kept = trim(document.text, *piece)
            if kept is not None and len(document.text[kept[0] : kept[1]].split()) >= _FEWEST_WORDS:
                found.append(Span(document.id, *kept))
    return found


def in_turns(found: list[Span], *, seed: int) -> list[Span]:
    """All passages in a random order in which the documents take turns, so that a long one is not most of the first."""
    random = np.random.default_rng(seed)
    by_document: dict[str, list[Span]] = {}
    for row in random.permutation(len(found)):
        by_document.setdefault(found[row].document_id, []).append(found[row])
    order = [by_document[name] for name in sorted(by_document)]
    order = [order[row] for row in random.permutation(len(order))]
    turns = range(max(map(len, order), default=0))
    return [spans[turn] for turn in turns for spans in order if turn < len(spans)]


def within(one: Span, other: Span) -> bool:
    """Whether all of one span lies in the other."""
    return one.document_id == other.document_id and other.start <= one.start and one.end <= other.end
