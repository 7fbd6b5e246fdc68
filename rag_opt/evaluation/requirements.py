"""Data that objectives require of the questions. (A judge is required of the settings, so it is not looked at here.)"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from rag_opt.core.errors import Problem
from rag_opt.core.questions import Dataset, Question
from rag_opt.evaluation.interfaces import Requirement

_QUESTIONS_NAMED = 5

# requirement of the data -> its lack in words, and whether a question lacks it
_LACKS: dict[Requirement, tuple[str, Callable[[Question], bool]]] = {
    "evidence": ("no evidence", lambda q: q.answerable and not q.evidence),
    "document_evidence": (
        "no document-level evidence",
        lambda q: q.answerable and (not q.evidence or q.has_spans),
    ),
    "reference_answers": ("no reference answer", lambda q: q.answerable and not q.reference_answer),
}


def can_feed(question: Question, requires: Iterable[Requirement]) -> bool:
    """Return whether a question has all that an objective requires of it; one that has not scores NaN."""
    return not any(_LACKS[requirement][1](question) for requirement in requires if requirement in _LACKS)


def has_scorable_question(dataset: Dataset, requires: Iterable[Requirement]) -> bool:
    """Return whether at least one answerable question has all that an objective requires."""
    wanted = tuple(requires)
    return any(question.answerable and can_feed(question, wanted) for question in dataset.questions)


def find_missing_data(
    dataset: Dataset, requires: Iterable[Requirement], *, where: str, min_share: float = 1.0
) -> list[Problem]:
    """Return one problem for each requirement that too many answerable questions do not meet, naming some of these.

    `min_share` of them must meet all requirements.
    """
    wanted = tuple(requires)
    fed = [can_feed(question, wanted) for question in dataset.questions if question.answerable]
    if any(fed) and sum(fed) >= min_share * len(fed):
        return []
    return [Problem(where, lack) for lack in _describe_lacks(dataset, wanted)]


def describe_left_out(dataset: Dataset, requires: Iterable[Requirement]) -> list[str]:
    """Return in words how many questions an objective is scored on, where some cannot feed it; and what these lack."""
    wanted = tuple(requires)
    fed = sum(can_feed(question, wanted) for question in dataset.questions)
    if fed == len(dataset.questions):
        return []
    lacks = "; ".join(_describe_lacks(dataset, wanted))
    return [f"scored on {fed} of {len(dataset.questions)} questions: {lacks}"]


def _describe_lacks(dataset: Dataset, requires: Iterable[Requirement]) -> Iterator[str]:
    for requirement in sorted(set(requires) & set(_LACKS)):
        words, lacking = _LACKS[requirement]
        question_ids = [question.id for question in dataset.questions if lacking(question)]
        if question_ids:
            named = ", ".join(question_ids[:_QUESTIONS_NAMED])
            more = ", …" if len(question_ids) > _QUESTIONS_NAMED else ""
            yield f"{len(question_ids)} of {len(dataset.questions)} questions have {words}: {named}{more}"
