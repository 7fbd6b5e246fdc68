"""Questions with what is known of their answers, and the data set that holds them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from rag_opt.core.digests import digest
from rag_opt.core.documents import Corpus, Span


@dataclass(frozen=True, slots=True)
class WholeDocument:
    """Evidence that names a document, not a place in it. `relevance` >= 1 is the gain of nDCG."""

    document_id: str
    relevance: int = 1


@dataclass(frozen=True, slots=True)
class PageOfDocument:
    """Evidence that names a page. Its text is `start` to `end`: any hit that touches it satisfies the need."""

    document_id: str
    page: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class LostPassage:
    """Evidence that stands in the file, and not in what the reader made of it: no hit can cover it.

    `text` as it was quoted, or as another reader gave it; `document_id` is empty where nobody said in which file.
    """

    document_id: str
    text: str

    @property
    def characters(self) -> int:
        """How much of the evidence it is, in characters; at least one."""
        return max(len(self.text), 1)


Alternative = Span | WholeDocument | PageOfDocument | LostPassage
Need = tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its reference answer and evidence, each None where it is not known.

    `evidence` is a list of needs; each is satisfied by any one of its alternatives. `other_answers`: as right as the
    reference; the best match counts. `filters`: only documents whose metadata equal these may be returned, and none of
    `exclude`, by their ids. `origin`: who made the question or found its evidence, where that was not
    the person who asked it.
    """

    id: str
    text: str
    reference_answer: str | None = None
    evidence: tuple[Need, ...] | None = None
    filters: Mapping[str, object] = field(default_factory=dict)
    answerable: bool = True
    kind: str = ""
    origin: str = ""
    other_answers: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def right_answers(self) -> tuple[str, ...]:
        """All reference answers; none where there is none."""
        return (self.reference_answer, *self.other_answers) if self.reference_answer else ()

    @property
    def alternatives(self) -> list[Alternative]:
        """All alternatives of all needs."""
        return [alternative for need in self.evidence or () for alternative in need]

    @property
    def document_ids(self) -> set[str]:
        """Ids of the documents that its evidence names."""
        return {alternative.document_id for alternative in self.alternatives if alternative.document_id}

    @property
    def has_spans(self) -> bool:
        """True where any of its evidence is a span, or was one before a reader lost it."""
        return any(isinstance(alternative, Span | LostPassage) for alternative in self.alternatives)


@dataclass(frozen=True)
class Dataset:
    """Documents and the questions to be asked of them. `notes` tell a person what happened while they were read."""

    name: str
    corpus: Corpus
    questions: tuple[Question, ...]
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def questions_digest(self) -> str:
        """Hash of all questions; their order does not matter."""
        return digest(sorted(question_digest(question) for question in self.questions))


def question_digest(question: Question) -> str:
    """Return a hash of everything that a question says, evidence and reference answer included."""
    evidence = None
    if question.evidence is not None:
        evidence = [[_alternative_key(alternative) for alternative in need] for need in question.evidence]
    return digest(
        [
            question.id,
            question.text,
            question.reference_answer,
            evidence,
            dict(question.filters),
            question.answerable,
            list(question.other_answers),
            sorted(question.exclude),
        ]
    )


def _alternative_key(alternative: Alternative) -> list[str | int]:
    if isinstance(alternative, Span):
        return alternative.to_list()
    if isinstance(alternative, PageOfDocument):
        return ["page", alternative.document_id, alternative.page, alternative.start, alternative.end]
    if isinstance(alternative, LostPassage):
        return ["lost", alternative.document_id, alternative.text]
    return [alternative.document_id, alternative.relevance]
