"""What became of a question: answered well, or the first step at which it went wrong. The steps say what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast, get_args

from rag_opt.core.strict import PlainMapping

Outcome = Literal[
    "good",
    "evidence lost by the reader",
    "evidence cut apart",
    "evidence not retrieved",
    "evidence ranked too low",
    "evidence cut by the budget",
    "refused wrongly",
    "answered wrongly",
    "answered though unanswerable",
    "not scored",
]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
MEANINGS: Mapping[Outcome, str] = {
    "good": "the value is 0.9 or more, or 0.5 or more with the evidence in the context; refused, where it should be",
    "evidence lost by the reader": "it stands in the file, and not in what the reader made of it",
    "evidence cut apart": "no chunk holds it whole, and the list has not all of its pieces",
    "evidence not retrieved": "a chunk holds it, and the whole ranked list does not have that chunk",
    "evidence ranked too low": "the ranked list has it, below the first top_k",
    "evidence cut by the budget": "it was among the first top_k, and the context had no room for it",
    "refused wrongly": "the evidence lay in the context, and the answer was refused",
    "answered wrongly": "the evidence lay in the context, and the answer is not what was expected",
    "answered though unanswerable": "the documents do not answer it, and it was answered",
    "not scored": "no evidence is known, or it could not be scored",
}
FOUND = 0.9  # of the evidence: so much is all that an answer needs
GOOD, FAIR = 0.9, 0.5  # values of an objective between 0 and 1


def find_outcome(row: PlainMapping, *, value: float | None, top_k: int | None) -> Outcome:
    """Return what became of a question.

    `row`: as a trial keeps it. `value`: of the objective in [0, 1], higher is better; None where it was not scored.
    `top_k`: how many of the ranked list are packed; None: not known.
    """
    if not row["answerable"]:
        return "good" if row["refused"] else "answered though unanswerable"
    if value is not None and value >= GOOD:
        return "good"
    if row["failed"] or value is None:
        return "not scored"
    in_context = _number(row, "places/in_context")
    if in_context is not None and in_context < FOUND:
        return _why_not_in_context(row, top_k)
    if row["refused"]:
        return "refused wrongly"
    return "good" if value >= FAIR else "answered wrongly"


def _why_not_in_context(row: PlainMapping, top_k: int | None) -> Outcome:
    if (_number(row, "places/lost") or 0.0) > 0:
        return "evidence lost by the reader"
    if (_number(row, "places/in_list") or 0.0) < FOUND:
        whole = (_number(row, "places/in_one_chunk") or 0.0) >= FOUND
        return "evidence not retrieved" if whole else "evidence cut apart"
    rank = _number(row, "places/list_rank")
    low = top_k is None or rank is None or rank > top_k
    return "evidence ranked too low" if low else "evidence cut by the budget"


def _number(row: PlainMapping, name: str) -> float | None:
    return cast("float | None", row.get(name))
