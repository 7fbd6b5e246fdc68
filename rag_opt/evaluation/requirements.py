"""Whether a data set has what an objective needs. (A judge is no matter of the data.)"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rag_opt.core.errors import Problem
from rag_opt.core.questions import Dataset, Question

_LACKS: dict[str, tuple[str, Callable[[Question], bool]]] = {
    "evidence": ("no evidence", lambda q: q.answerable and not q.evidence),
    "document_evidence": (
        "no document-level evidence",
        lambda q: q.answerable and (not q.evidence or q.has_spans),
    ),
    "reference_answers": ("no reference answer", lambda q: q.answerable and not q.reference_answer),
}


def feeds_some(dataset: Dataset, requires: Iterable[str]) -> bool:
    """Whether at least one answerable question has all that an objective needs; the others score NaN."""
    rules = [_LACKS[need][1] for need in requires if need in _LACKS]
    return any(q.answerable and not any(lacks(q) for lacks in rules) for q in dataset.questions)


def find_missing_data(dataset: Dataset, requires: Iterable[str], *, where: str) -> list[Problem]:
    """One problem per need that some question cannot feed, naming the first of them."""
    problems = []
    for need in sorted(set(requires) & set(_LACKS)):
        words, lacks = _LACKS[need]
        without = [question.id for question in dataset.questions if lacks(question)]
        if without:
            some = ", ".join(without[:5]) + (", …" if len(without) > 5 else "")
            what = f"{len(without)} of {len(dataset.questions)} questions have {words}: {some}"
            problems.append(Problem(where, what))
    return problems
