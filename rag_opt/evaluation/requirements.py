"""Data that objectives require of the questions. (A judge is required of the settings, so it is not looked at here.)"""

from __future__ import annotations

from collections.abc import Callable, Iterable

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


def has_scorable_question(dataset: Dataset, requires: Iterable[Requirement]) -> bool:
    """Return whether at least one answerable question has all that an objective requires; the others score NaN."""
    lacks = [_LACKS[requirement][1] for requirement in requires if requirement in _LACKS]
    return any(q.answerable and not any(lacking(q) for lacking in lacks) for q in dataset.questions)


def find_missing_data(dataset: Dataset, requires: Iterable[Requirement], *, where: str) -> list[Problem]:
    """Return one problem for each requirement that some question does not meet, naming the first of these questions."""
    problems = []
    for requirement in sorted(set(requires) & set(_LACKS)):
        words, lacking = _LACKS[requirement]
        question_ids = [question.id for question in dataset.questions if lacking(question)]
        if question_ids:
            named = ", ".join(question_ids[:_QUESTIONS_NAMED])
            more = ", …" if len(question_ids) > _QUESTIONS_NAMED else ""
            message = f"{len(question_ids)} of {len(dataset.questions)} questions have {words}: {named}{more}"
            problems.append(Problem(where, message))
    return problems
