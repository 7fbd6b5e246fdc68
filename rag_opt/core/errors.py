"""Everything that rag_opt raises on purpose. The text of an error says what to do; its attributes are for programs.

RagOptError
├── BadInput            configuration or data that cannot be used; lists every problem found
│   ├── UnknownSlot     a slot that nobody declared
│   └── UnknownPart     a slot has no part of that kind
├── Unreadable          a file that is not what its name says
│   └── NoText          a file that should be text and holds something else
├── ImpossiblePipeline  a spec that cannot exist (a chunk longer than the model reads, a forbidden pair)
├── ModelRefused        a model that would give silently wrong vectors
├── ServerFailed        a model server that does not answer a request, or answers nonsense
│   ├── ServerDown      nobody can use it: it answers nothing, or refuses the key
│   └── ModelUnusable   a language model that nobody can ask, or whose answers are of no use: it stops the search
├── BudgetSpent         a language model may not be asked any more
├── StudyMismatch       the study on disk was made for other documents, questions, space or objective
├── StudyBusy           another search drives this study right now
├── MachineFault        the machine cannot go on: no room, no memory, a disk that fails
├── BadStudy            a file of a study that is not what was written
├── BadStore            a store that is not there, or is in use
├── BadBundle           a bundle that is not whole, or does not answer as the search saw
└── TooManyFailures     trials keep crashing; the search stops and says why
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_MAX_NAMES_LISTED = 40


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
    """Configuration or data that cannot be used. `problems` holds every problem, not only the first."""

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems = (Problem("", problems),) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnknownSlot(BadInput):
    """A slot that nobody declared. Correct its name, or declare it before parts register."""


class UnknownPart(BadInput):
    """A kind that no part of the slot has. Correct its name, or load the plug-in that brings it."""


class Unreadable(RagOptError):
    """A file that cannot be read as what its name says. The text goes on from the file's name: "is locked …"."""


class NoText(Unreadable):
    """A file that should be text by its ending and holds something else, as a picture or a program."""


class ImpossiblePipeline(RagOptError):
    """A pipeline that cannot exist. A search prunes the trial and goes on; elsewhere change the settings named."""


class ModelRefused(RagOptError):
    """A model that would give silently wrong vectors. Correct its card or files, or choose another model."""


class ServerFailed(RagOptError):
    """A model server that does not answer a request, or answers nonsense. The request may be sent again later."""


class ServerDown(ServerFailed):
    """A model server that nobody can use: it answers nothing, or refuses the key. Start it, or correct its address."""


class ModelUnusable(ServerFailed):
    """A language model that cannot be asked, or whose answers are of no use. Choose another; stored replies stay."""


class BudgetSpent(RagOptError):
    """A language model may not be asked any more. A higher cap continues: replies that are stored cost nothing."""


class StudyMismatch(RagOptError):
    """The study on disk was made for other input. `changed` names it: documents, questions, space, objective, …"""

    def __init__(self, message: str, *, changed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.changed = tuple(changed)


class StudyBusy(RagOptError):
    """Another search drives this study right now: the process `pid` on `host`, where they are known. Wait for it."""

    def __init__(self, message: str, *, pid: int | None = None, host: str | None = None) -> None:
        super().__init__(message)
        self.pid = pid
        self.host = host


class BadStudy(RagOptError):
    """A file of a study is missing or damaged. Give the search's command again: it makes what it can anew."""


class BadStore(RagOptError):
    """A store that is not there, or that the process `pid` uses while nobody may."""

    def __init__(self, message: str, *, pid: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid


class MachineFault(RagOptError):
    """The machine cannot go on: no room, no memory, a disk that fails. Nothing finished is lost; repair it and resume.

    `kind`: room, memory, disk, read-only, files or locked.
    """

    def __init__(self, message: str, *, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class BadBundle(RagOptError):
    """A bundle that is not whole, or that does not answer as the search saw. Export it again."""


class TooManyFailures(RagOptError):
    """Trials keep crashing: the last `count` in a row did. The message has the last reason; repair it and resume."""

    def __init__(self, message: str, *, count: int | None = None) -> None:
        super().__init__(message)
        self.count = count


def list_names(names: Sequence[str], *, most: int = 5) -> str:
    """Return some names in one line, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _visible(name: str) -> str:
    """Return a name as it looks: without invisible characters, in one Unicode form."""
    kept = (c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) not in ("Cf", "Cc"))
    return " ".join("".join(kept).split())


def suggest_names(name: object, known: Iterable[object]) -> str:
    """Return the end of a message about an unknown name: the nearest of `known`, and all of them while they are few."""
    names = [str(candidate) for candidate in known]
    twin = next((one for one in names if one != str(name) and _visible(one) == _visible(str(name))), None)
    nearest = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    ending = f"; did you mean {nearest[0]!r}?" if nearest else "."
    if twin is not None:  # a suggestion that looks like what was written helps nobody
        ending = f"; {twin!a} looks the same, and is written with other characters than {str(name)!a}"
        return f"{ending}."
    if not names:
        return f"{ending} None is known here."
    return f"{ending} There are: {', '.join(names)}" if len(names) <= _MAX_NAMES_LISTED else ending
