"""Everything that rag_opt raises on purpose.

RagOptError
├── BadInput            configuration or data that cannot be used; lists every problem found
│   └── UnknownPart     a slot has no part of that kind
├── ImpossiblePipeline  a spec that cannot exist (a chunk longer than the model reads, a forbidden pair)
├── ModelRefused        a model that would give silently wrong vectors
├── ServerFailed        a model server that does not answer a request, or answers nonsense
│   ├── ServerDown      nobody can use it: it answers nothing, or refuses the key
│   └── ModelUnusable   a language model that nobody can ask, or whose answers are of no use: it stops the search
├── BudgetSpent         a language model may not be asked any more
├── StudyMismatch       the study on disk was made for other documents, questions, space or objective
├── StudyBusy           another search drives this study right now
├── BadStore            a store that is not there, or is in use
├── BadBundle           a bundle that is not whole, or does not answer as the search saw
└── TooManyFailures     trials keep crashing; the search stops and says why
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_MOST_NAMES = 40


class RagOptError(Exception):
    """Base of all errors that a person can do something about."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the input: where it stands and what is wrong with it."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class BadInput(RagOptError):
    """Input that cannot be used. `problems` holds every one that was found, not only the first."""

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        found = [Problem("", problems)] if isinstance(problems, str) else list(problems)
        self.problems: tuple[Problem, ...] = tuple(found)
        super().__init__("\n".join(str(problem) for problem in found))


class UnknownPart(BadInput):
    pass


class ImpossiblePipeline(RagOptError):
    pass


class ModelRefused(RagOptError):
    pass


class ServerFailed(RagOptError):
    pass


class ServerDown(ServerFailed):
    pass


class ModelUnusable(ServerFailed):
    pass


class BudgetSpent(RagOptError):
    pass


class BadStore(RagOptError):
    pass


class StudyMismatch(RagOptError):
    pass


class StudyBusy(RagOptError):
    pass


class BadBundle(RagOptError):
    pass


class TooManyFailures(RagOptError):
    pass


def among(name: object, known: Iterable[object]) -> str:
    """How a message about an unknown name ends: the nearest of `known`, and all of them while they are few."""
    names = [str(one) for one in known]
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    ending = f"; did you mean {close[0]!r}?" if close else "."
    if not names:
        return f"{ending} None is known here."
    return f"{ending} There are: {', '.join(names)}" if len(names) <= _MOST_NAMES else ending
