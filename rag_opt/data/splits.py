"""The split of the questions: those that the search may see, and those that are held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag_opt.core.digests import digest
from rag_opt.core.documents import Span
from rag_opt.core.questions import Question

_SECTION_CHARACTERS = 2000
_MIN_UNITS = 20
_MAX_UNIT_SHARE = 0.15  # of the questions in one split unit


@dataclass(frozen=True)
class Split:
    """Positions of search questions and of held-out questions.

    `units` names for each question, by position, its split unit, which is never divided. `basis` says how they were
    formed, and why.
    """

    search: tuple[int, ...]
    held_out: tuple[int, ...]
    units: tuple[str, ...]
    basis: str


def split(questions: Sequence[Question], *, search_share: float) -> Split:
    """Return the two parts, units assigned by hash so that nobody changes sides when data is added.

    A split unit is a connected component of documents linked by a question. When that leaves too few units, or
    one that holds too many of the questions, contiguous sections of documents are linked instead; when
    that fails too, every question is its own unit. Of fewer than 20 units the share (of units, in (0, 1]) is met by
    the order of their hashes; added data may then move one.
    """
    attempts: list[tuple[str, Callable[[Question], set[str]]]] = [
        ("documents", lambda question: question.document_ids),
        ("sections", _sections),
    ]
    reasons: list[str] = []
    for basis, linked in attempts:
        units = _components(questions, linked)
        # questions without evidence are their own units and say nothing about the others
        sizes = Counter(unit for unit, question in zip(units, questions, strict=True) if question.evidence)
        largest = max(sizes.values(), default=0) / max(sizes.total(), 1)
        if not sizes:
            break
        if len(sizes) >= _MIN_UNITS and largest <= _MAX_UNIT_SHARE:
            return _assign(units, search_share, "; ".join([*reasons, f"split by {basis}: {len(sizes)} units"]))
        reasons.append(
            f"questions link the {basis} into {len(sizes)} units, the largest with {largest:.0%} of the questions"
        )
    units = [f"question:{question.id}" for question in questions]
    return _assign(units, search_share, "; ".join([*reasons, f"split by question: {len(units)} units"]))


def _sections(question: Question) -> set[str]:
    """Return the names of all sections that its evidence touches."""
    names: set[str] = set()
    for alternative in question.alternatives:
        if isinstance(alternative, Span):
            first, last = alternative.start // _SECTION_CHARACTERS, (alternative.end - 1) // _SECTION_CHARACTERS
            names |= {f"{alternative.document_id}#{section}" for section in range(first, last + 1)}
        else:
            names.add(alternative.document_id)
    return names


def _components(questions: Sequence[Question], linked: Callable[[Question], set[str]]) -> list[str]:
    """Return for each question the smallest name of its connected component; without evidence it stands alone."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    owners = []
    for question in questions:
        names = sorted(linked(question)) or [f"question:{question.id}"]
        owners.append(names[0])
        for name in names:
            low, high = sorted((root(names[0]), root(name)))
            parent[high] = low
    return [root(name) for name in owners]


def _assign(units: Sequence[str], search_share: float, basis: str) -> Split:
    hashes = {unit: int(digest(["part", unit])[:12], 16) / 16**12 for unit in units}  # in [0, 1)
    if len(hashes) < _MIN_UNITS:  # chance would miss the share by far, up to leaving one side empty
        count = max(min(round(search_share * len(hashes)), len(hashes) - (search_share < 1)), 1)
        chosen = set(sorted(hashes, key=lambda unit: hashes[unit])[:count])
        basis += ", too few to leave the share to chance"
    else:
        chosen = {unit for unit, value in hashes.items() if value < search_share}
    in_search = [unit in chosen for unit in units]
    return Split(
        search=tuple(i for i, yes in enumerate(in_search) if yes),
        held_out=tuple(i for i, yes in enumerate(in_search) if not yes),
        units=tuple(units),
        basis=basis,
    )
