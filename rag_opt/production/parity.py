"""Parity: whether a bundle returns what the search saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rag_opt.core.questions import Question
from rag_opt.production.bundle import Bundle
from rag_opt.production.passages import Reply
from rag_opt.production.stored_questions import Seen, StoredQuestion, select_evenly

SCORE_TOLERANCE = 1e-4
QUESTIONS_CHECKED = 50  # unless all are asked for
_AT_ONCE = 32


def find_differences(bundle: Bundle, questions: Sequence[StoredQuestion]) -> list[str]:
    """Ask the bundle what the search asked, in batches, and return what came out differently, in words.

    Equal are the spans in their order, refusals and answers; scores within 1e-4. Raises ServerFailed.
    """
    return _find_differences(bundle.ask_questions, compare, questions)


def find_differences_of_passages(bundle: Bundle, questions: Sequence[StoredQuestion]) -> list[str]:
    """Return what `find_differences` does of passages alone: a language model need not say the same twice."""
    return _find_differences(lambda asked: bundle.try_retrieval(asked)[0], compare_passages, questions)


def _find_differences(
    ask: Callable[[Sequence[Question]], list[Reply]],
    compare: Callable[[Seen, Reply], str],
    questions: Sequence[StoredQuestion],
) -> list[str]:
    found = []
    for first in range(0, len(questions), _AT_ONCE):
        batch = questions[first : first + _AT_ONCE]
        replies = ask([one.question for one in batch])
        found += [compare(one.seen, reply) for one, reply in zip(batch, replies, strict=True)]
    return [difference for difference in found if difference]


def compare(seen: Seen, reply: Reply) -> str:
    """Return how a reply differs from what the search saw, in words; empty where it does not."""
    different = compare_passages(seen, reply)
    if not different and (reply.answer, reply.refused) != (seen.answer, seen.refused):
        return f"{seen.id}: another answer"
    return different


def compare_passages(seen: Seen, reply: Reply) -> str:
    """Return how the passages of a reply differ from those that the search saw, in words; empty where they do not."""
    ours = [(hit.document, hit.start, hit.end) for hit in reply.hits]
    theirs = [(hit.document, hit.start, hit.end) for hit in seen.hits]
    if ours != theirs:
        return f"{seen.id}: other hits or another order"
    if not np.allclose([h.score for h in reply.hits], [h.score for h in seen.hits], rtol=0, atol=SCORE_TOLERANCE):
        return f"{seen.id}: scores differ by more than {SCORE_TOLERANCE:g}"
    return ""


def select_checked(bundle: Bundle, *, every: bool) -> list[StoredQuestion]:
    """Return the stored questions that a check asks: all, or at most 50 of them, evenly spaced."""
    return list(bundle.questions) if every else select_evenly(bundle.questions, QUESTIONS_CHECKED)


def golden_question(bundle: Bundle) -> StoredQuestion | None:
    """Return the question that a service asks before it is ready: the first with passages; None without any."""
    return next((one for one in bundle.questions if one.seen.hits), None)
