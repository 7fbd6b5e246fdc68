"""Tasks for a model that writes questions: passages one by one, and pairs that have to do with each other."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rag_opt.core.documents import Corpus, Span
from rag_opt.testset.passages import cut_passages, interleave_documents

if TYPE_CHECKING:
    from rag_opt.models.encoder import Encoder

_MIN_COSINE, _MAX_COSINE = 0.35, 0.85  # of passages that have to do with each other and are not the same
_MAX_PAIRED = 2000  # passages
_TASKS_PER_QUESTION = 4  # not every one gives a question


class QuestionType(enum.StrEnum):
    """Types of questions by what answers them; the value stands in the `kind` of the question."""

    ONE_PASSAGE = "one passage"
    TWO_PASSAGES = "two passages"
    NO_ANSWER = "no answer"


class WritingTask(NamedTuple):
    """One question to be written, of these passages."""

    type: QuestionType
    passages: tuple[Span, ...]


def plan_questions(
    corpus: Corpus,
    encoder: Encoder,
    *,
    count: int,
    several: float,
    unanswerable: float,
    passage_tokens: int,
    seed: int,
) -> list[WritingTask]:
    """Return tasks, several times as many as the `count` of questions that is wanted.

    `several`, `unanswerable`: shares in [0, 1] of questions of two passages, and without an answer.
    `passage_tokens`: largest passage, in tokens of the budget's tokenizer.
    """
    passages = interleave_documents(cut_passages(corpus, size=passage_tokens), seed=seed)
    pairs = iter(_pair_passages(corpus, encoder, passages[:_MAX_PAIRED]) if several else [])
    random = np.random.default_rng(seed)
    tasks: list[WritingTask] = []
    answered, unanswered = iter(passages), iter(reversed(passages))
    for _ in range(_TASKS_PER_QUESTION * count):
        drawn = random.random()
        pair = next(pairs, None) if drawn < several else None
        if pair is not None:
            tasks.append(WritingTask(QuestionType.TWO_PASSAGES, pair))
            continue
        without_answer = drawn >= 1 - unanswerable
        passage = next(unanswered if without_answer else answered, None)
        if passage is None:
            break
        question_type = QuestionType.NO_ANSWER if without_answer else QuestionType.ONE_PASSAGE
        tasks.append(WritingTask(question_type, (passage,)))
    return tasks


def _pair_passages(corpus: Corpus, encoder: Encoder, passages: Sequence[Span]) -> list[tuple[Span, Span]]:
    """Return each passage with the most similar of those that stand apart from it, each passage at most once."""
    if len(passages) < 2:
        return []
    vectors = encoder.vectors([corpus.text(span) for span in passages], "document")
    cosine = vectors @ vectors.T
    cosine[(cosine < _MIN_COSINE) | (cosine > _MAX_COSINE)] = -1
    for row, span in enumerate(passages):  # neighbours are one passage to a reader
        for column, other in enumerate(passages):
            if span.document_id == other.document_id and abs(span.start - other.start) < 2 * (span.end - span.start):
                cosine[row, column] = -1
    used, pairs = set[int](), list[tuple[Span, Span]]()
    for row in range(len(passages)):
        column = int(np.argmax(cosine[row]))
        if cosine[row, column] > 0 and not {row, column} & used:
            used |= {row, column}
            pairs.append((passages[row], passages[column]))
    return pairs
