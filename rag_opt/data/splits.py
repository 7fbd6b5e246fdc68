"""The split of the questions: those that the search may see, and those that are held out."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rag_opt.core.digests import digest
from rag_opt.core.documents import Span
from rag_opt.core.questions import PageOfDocument, Question

UnitKind = Literal["documents", "sections", "questions"]

_SECTION_CHARACTERS = 2000
_NEAR_CHARACTERS = 10  # shorter texts that differ by a letter may say something else
_MIN_UNITS = 20
_MAX_UNIT_SHARE = 0.15  # of the questions in one split unit
_SHARE_TOLERANCE = 0.1  # of the questions: how far chance may miss the share that was asked for


@dataclass(frozen=True)
class Split:
    """Positions of search questions and of held-out questions.

    `units` names for each question, by position, its split unit, which is never divided; intervals take the same units
    for their clusters. `unit_kind` says what links questions into one. `basis` says how the units were formed, and why.
    `documents` names for each question the documents that questions link with its own; no unit lies in two of them.
    """

    search: tuple[int, ...]
    held_out: tuple[int, ...]
    units: tuple[str, ...]
    unit_kind: UnitKind
    basis: str
    documents: tuple[str, ...]

    @property
    def search_units(self) -> tuple[str, ...]:
        """Split units of the search questions, in their order."""
        return tuple(self.units[i] for i in self.search)

    @property
    def held_out_units(self) -> tuple[str, ...]:
        """Split units of the held-out questions, in their order."""
        return tuple(self.units[i] for i in self.held_out)

    @property
    def claim(self) -> str:
        """What a gain that was measured over these units is about, in words."""
        return "documents like these" if self.unit_kind == "documents" else "these documents"


def split(questions: Sequence[Question], *, search_share: float) -> Split:
    """Return the two parts, units assigned by hash so that nobody changes sides when data is added.

    A split unit is a connected component of documents linked by a question. When that leaves too few units, or one
    that holds too many of the questions, contiguous sections of documents are linked instead; when that fails too,
    every question is its own unit. Questions of one text (letters and digits compared) are one unit always. Where
    chance would miss `search_share` (in (0, 1]) by more than 10 points of the questions, it is met by the order of the
    hashes; added data may then move a unit.
    """
    texts = same_texts(questions)
    documents = _components(questions, texts, lambda question: question.document_ids)
    attempts: list[tuple[UnitKind, Sequence[str]]] = [
        ("documents", documents),
        ("sections", _components(questions, texts, _sections)),
    ]
    reasons: list[str] = []
    for kind, units in attempts:
        # questions without evidence are their own units and say nothing about the others
        sizes = Counter(unit for unit, question in zip(units, questions, strict=True) if question.evidence)
        largest = max(sizes.values(), default=0) / max(sizes.total(), 1)
        if not sizes:
            break
        if len(sizes) >= _MIN_UNITS and largest <= _MAX_UNIT_SHARE:
            basis = "; ".join([*reasons, f"split by {kind}: {len(sizes)} units"])
            return _assign(units, search_share, kind, basis, documents)
        reasons.append(
            f"questions link the {kind} into {len(sizes)} units, the largest with {largest:.0%} of the questions"
        )
    units = _components(questions, texts, lambda question: set())
    basis = "; ".join([*reasons, f"split by question: {len(set(units))} units"])
    return _assign(units, search_share, "questions", basis, documents)


def _sections(question: Question) -> set[str]:
    """Return the names of all sections that its evidence touches."""
    names: set[str] = set()
    for alternative in question.alternatives:
        if isinstance(alternative, Span | PageOfDocument):
            first, last = alternative.start // _SECTION_CHARACTERS, (alternative.end - 1) // _SECTION_CHARACTERS
            names |= {f"{alternative.document_id}#{section}" for section in range(first, last + 1)}
        elif alternative.document_id:
            names.add(alternative.document_id)
    return names


def _components(
    questions: Sequence[Question], texts: Sequence[str], linked: Callable[[Question], set[str]]
) -> list[str]:
    """Return for each question the smallest name of its connected component.

    Questions are connected by what `linked` names, and by their text, of `texts`; one that is not stands alone.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    owners, asked = [], dict[str, str]()
    for question, text in zip(questions, texts, strict=True):
        names = sorted(linked(question)) or [f"question:{question.id}"]
        owners.append(names[0])
        for name in (*names, asked.setdefault(text, names[0])):
            low, high = sorted((root(names[0]), root(name)))
            parent[high] = low
    return [root(name) for name in owners]


def same_texts(questions: Sequence[Question]) -> list[str]:
    """Return for each question its text as it is compared; one a letter away, with the same evidence, has the same."""
    texts = [_normalise(question) for question in questions]
    by_evidence: dict[str, list[str]] = {}
    for place, question in enumerate(questions):
        if question.evidence:
            known = by_evidence.setdefault(repr(question.evidence), [])
            texts[place] = next((one for one in known if _is_near(one, texts[place])), texts[place])
            known.append(texts[place])
    return texts


def _is_near(text: str, other: str) -> bool:
    """Return whether two texts are a letter apart; one of another number asks for something else."""
    from rapidfuzz.distance import Levenshtein

    digits, others = ([c for c in one if c.isdigit()] for one in (text, other))
    long = min(len(text), len(other)) >= _NEAR_CHARACTERS
    return text == other or (long and digits == others and Levenshtein.distance(text, other, score_cutoff=1) <= 1)


def describe_repeated(questions: Sequence[Question]) -> list[str]:
    """Return a note where questions stand more than once: they are one unit, not as many."""
    counts = Counter(same_texts(questions))
    repeated = sum(count for count in counts.values() if count > 1)
    if not repeated:
        return []
    kinds = sum(count > 1 for count in counts.values())
    return [f"{repeated} of {len(questions)} questions are {kinds} texts asked more than once: each text counts as one"]


def _normalise(question: Question) -> str:
    """Return the letters and digits of a question's text, without case and accents; its id where it has none."""
    decomposed = unicodedata.normalize("NFKD", question.text).casefold()
    return "".join(letter for letter in decomposed if letter.isalnum()) or f"question:{question.id}"


def _assign(units: Sequence[str], search_share: float, kind: UnitKind, basis: str, documents: Sequence[str]) -> Split:
    hashes = {unit: int(digest(["part", unit])[:12], 16) / 16**12 for unit in units}  # in [0, 1)
    sizes = Counter(units)
    chosen = {unit for unit, value in hashes.items() if value < search_share}
    reached = sum(sizes[unit] for unit in chosen) / max(len(units), 1)
    one_side_empty = search_share < 1 and len(chosen) in (0, len(hashes))
    if len(hashes) < _MIN_UNITS or one_side_empty or abs(reached - search_share) > _SHARE_TOLERANCE:
        chosen = _in_order(hashes, sizes, search_share)
        basis += ", dealt in order to meet the share: added data may move one"
    in_search = [unit in chosen for unit in units]
    return Split(
        search=tuple(i for i, yes in enumerate(in_search) if yes),
        held_out=tuple(i for i, yes in enumerate(in_search) if not yes),
        units=tuple(units),
        unit_kind=kind,
        basis=basis,
        documents=tuple(documents),
    )


def _in_order(hashes: Mapping[str, float], sizes: Mapping[str, int], search_share: float) -> set[str]:
    """Return the units in the order of their hashes whose questions come nearest to the share.

    Both sides get a unit, as far as there are two and the share is not 1.
    """
    ordered = sorted(hashes, key=lambda unit: hashes[unit])
    wanted, reached = search_share * sum(sizes.values()), [0]
    for unit in ordered:
        reached.append(reached[-1] + sizes[unit])
    most = len(ordered) - (search_share < 1 and len(ordered) > 1)
    count = min(range(1, most + 1), key=lambda units: (abs(reached[units] - wanted), units), default=0)
    return set(ordered[:count])
