"""What a model is to write questions of: passages one by one, and pairs that have to do with each other."""

from __future__ import annotations

import numpy as np

from rag_opt.core.documents import Corpus, Span
from rag_opt.models.encoder import Encoder
from rag_opt.testset.by_model import NONE, ONE, TWO
from rag_opt.testset.passages import in_turns, passages

_ALIKE = (0.35, 0.85)  # cosines of passages that have to do with each other and are not the same
_MOST_PAIRED = 2000
_TRIES = 4  # for each question that is wanted


def work_for(
    corpus: Corpus,
    encoder: Encoder,
    *,
    count: int,
    several: float,
    unanswerable: float,
    passage_tokens: int,
    seed: int,
) -> list[tuple[str, tuple[Span, ...]]]:
    """(kind, passages) in the shares that are wanted, several times as many as questions: not every one gives one."""
    found = in_turns(passages(corpus, size=passage_tokens), seed=seed)
    pairs = _pairs(corpus, encoder, found[:_MOST_PAIRED]) if several else []
    random = np.random.default_rng(seed)
    work: list[tuple[str, tuple[Span, ...]]] = []
    singles, twos, nones = iter(found), iter(pairs), iter(reversed(found))
    for _ in range(_TRIES * count):
        drawn = random.random()
        pair = next(twos, None) if drawn < several else None
        if pair is not None:
            work.append((TWO, pair))
            continue
        none = drawn >= 1 - unanswerable
        one = next(nones if none else singles, None)
        if one is None:
            break
        work.append((NONE if none else ONE, (one,)))
    return work


def _pairs(corpus: Corpus, encoder: Encoder, found: list[Span]) -> list[tuple[Span, Span]]:
    """Each passage with the most alike of those that stand apart from it, each passage at most once."""
    if len(found) < 2:
        return []
    vectors = encoder.vectors([corpus.text(span) for span in found], "document")
    cosine = vectors @ vectors.T
    cosine[(cosine < _ALIKE[0]) | (cosine > _ALIKE[1])] = -1
    for row, span in enumerate(found):  # neighbours are one passage to a reader
        for column, other in enumerate(found):
            if span.document_id == other.document_id and abs(span.start - other.start) < 2 * (span.end - span.start):
                cosine[row, column] = -1
    used, pairs = set[int](), list[tuple[Span, Span]]()
    for row in range(len(found)):
        column = int(np.argmax(cosine[row]))
        if cosine[row, column] > 0 and not {row, column} & used:
            used |= {row, column}
            pairs.append((found[row], found[column]))
    return pairs
