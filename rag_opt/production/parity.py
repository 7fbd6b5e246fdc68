"""Parity: whether a bundle returns what the search saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from rag_opt.core.questions import Question
from rag_opt.core.strict import PlainMapping
from rag_opt.production.bundle import Bundle

_SCORE_TOLERANCE = 1e-4


def find_differences(
    bundle: Bundle, rows: Sequence[PlainMapping], questions: Mapping[str, Question] = MappingProxyType({})
) -> list[str]:
    """Ask the bundle what the search asked, one question at a time, and return what came out differently, in words.

    Equal are the spans in their order, refusals and answers; scores within 1e-4. `rows` are those of a trial;
    `questions`: by id those with filters or documents that may not be returned.
    """
    differences = []
    for row in rows:
        if row.get("failed"):  # the search has nothing to compare with
            continue
        name = row["question_id"]
        (reply,) = bundle.ask_questions([questions.get(name, Question(name, row["question"]))])
        ours = [(hit.document, hit.start, hit.end) for hit in reply.hits]
        theirs = [(hit["document"], hit["start"], hit["end"]) for hit in row["hits"]]
        our_scores, their_scores = [hit.score for hit in reply.hits], [hit["score"] for hit in row["hits"]]
        if ours != theirs:
            differences.append(f"{row['question_id']}: other hits or another order")
        elif not np.allclose(our_scores, their_scores, atol=_SCORE_TOLERANCE):
            differences.append(f"{row['question_id']}: scores differ by more than {_SCORE_TOLERANCE:g}")
        elif (reply.answer, reply.refused) != (row["answer"], row["refused"]):
            differences.append(f"{row['question_id']}: another answer")
    return differences
