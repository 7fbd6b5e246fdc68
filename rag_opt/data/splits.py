"""The questions that the search may see, and those that it may not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag_opt.core.digests import digest
from rag_opt.core.documents import Span
from rag_opt.core.questions import Question

_SECTION_CHARACTERS = 2000
_FEWEST_UNITS = 20
_LARGEST_SHARE = 0.15


@dataclass(frozen=True)
class Split:
    """`units` names for each question (by position) the unit it belongs to; a unit is never divided."""

    search: tuple[int, ...]
    held_out: tuple[int, ...]
    units: tuple[str, ...]
    basis: str


def split(questions: Sequence[Question], *, search_share: float) -> Split:
    """Assign units to the two parts by hash, so that nobody changes sides when data is added.

    A unit is a connected component of documents linked by a question. When that leaves too few units, or
    one that holds too many of the questions, contiguous sections of documents are linked instead; when
    that fails too, every question is its own unit. `basis` says which it was, and why. Of fewer than 20 questions
    the share is met by the order of their hashes; added data may then move one.
    """
    attempts: list[tuple[str, Callable[[Question], set[str]]]] = [
        ("documents", lambda question: question.documents),
        ("sections", _sections),
    ]
    why: list[str] = []
    for basis, linked in attempts:
        units = _components(questions, linked)
        # questions without evidence are their own units and say nothing about the others
        sizes = Counter(unit for unit, question in zip(units, questions, strict=True) if question.evidence)
        largest = max(sizes.values(), default=0) / max(sizes.total(), 1)
        if not sizes:
            break
        if len(sizes) >= _FEWEST_UNITS and largest <= _LARGEST_SHARE:
            return _assigned(units, search_share, "; ".join([*why, f"split by {basis}: {len(sizes)} units"]))
        why.append(
            f"questions link the {basis} into {len(sizes)} units, the largest with {largest:.0%} of the questions"
        )
    units = [f"question:{question.id}" for question in questions]
    return _assigned(units, search_share, "; ".join([*why, f"split by question: {len(units)} units"]))


def _sections(question: Question) -> set[str]:
    """All sections that its evidence touches."""
    names: set[str] = set()
    for one in (a for need in question.evidence or () for a in need):
        if isinstance(one, Span):
            touched = range(one.start // _SECTION_CHARACTERS, (one.end - 1) // _SECTION_CHARACTERS + 1)
            names |= {f"{one.document_id}#{section}" for section in touched}
        else:
            names.add(one.document_id)
    return names


def _components(questions: Sequence[Question], linked: Callable[[Question], set[str]]) -> list[str]:
    """For each question the smallest name of its connected component; without evidence it stands alone."""
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


def _assigned(units: Sequence[str], search_share: float, basis: str) -> Split:
    place = {unit: int(digest(["part", unit])[:12], 16) / 16**12 for unit in units}
    if len(place) < _FEWEST_UNITS:  # chance would miss the share by far, up to leaving one side empty
        count = max(min(round(search_share * len(place)), len(place) - (search_share < 1)), 1)
        chosen = set(sorted(place, key=lambda unit: place[unit])[:count])
        basis += ", too few to leave the share to chance"
    else:
        chosen = {unit for unit, where in place.items() if where < search_share}
    in_search = [unit in chosen for unit in units]
    return Split(
        search=tuple(i for i, yes in enumerate(in_search) if yes),
        held_out=tuple(i for i, yes in enumerate(in_search) if not yes),
        units=tuple(units),
        basis=basis,
    )
