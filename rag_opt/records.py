"""The nouns that are plain records. All offsets are half-open and count characters of `Document.text`."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Document:
    """`text` is never changed after reading: every offset refers to it."""

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """`document.text[start:end]` is exactly its content."""

    document_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span cut for indexing. `embed_text` replaces its content as what is embedded, when given."""

    start: int
    end: int
    embed_text: str | None = None


@dataclass(frozen=True, slots=True)
class WholeDocument:
    """Evidence that names a file, not a place in it. `relevance` >= 1 is the gain of nDCG."""

    document_id: str
    relevance: int = 1


Alternative = Span | WholeDocument
Need = tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """`evidence` is a list of needs; each is satisfied by any one of its alternatives.

    `evidence` None: not known. `filters`: only documents whose metadata equal these may be returned. `origin`: who made
    it or found its evidence, where that was no person who asked it.
    """

    id: str
    text: str
    reference_answer: str | None = None
    evidence: tuple[Need, ...] | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    answerable: bool = True
    kind: str = ""
    origin: str = ""

    @property
    def documents(self) -> set[str]:
        return {alternative.document_id for need in self.evidence or () for alternative in need}

    @property
    def has_spans(self) -> bool:
        return any(isinstance(alternative, Span) for need in self.evidence or () for alternative in need)


@dataclass(frozen=True)
class Corpus:
    """`documents` may be read from a file one by one: what is asked again and again is kept here.

    `language`: ISO 639-1 code of what most of it is written in, empty where nobody said.
    """

    documents: Sequence[Document]
    language: str = ""

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(document.id for document in self.documents)

    @functools.cached_property
    def position(self) -> dict[str, int]:
        """Document id -> its row in every array that names documents by number."""
        return {name: row for row, name in enumerate(self.ids)}

    @functools.cached_property
    def characters(self) -> int:
        """Of all its texts together."""
        return sum(len(document.text) for document in self.documents)

    @functools.cached_property
    def metadata(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(document.metadata for document in self.documents)

    def __getitem__(self, document_id: str) -> Document:
        return self.documents[self.position[document_id]]

    def text(self, span: Span) -> str:
        return self[span.document_id].text[span.start : span.end]

    @functools.cached_property
    def digest(self) -> str:
        """Hash of everything in it; the order of the documents does not matter."""
        from rag_opt.store.keys import digest

        return digest(sorted(digest([d.id, d.text, d.title, dict(d.metadata)]) for d in self.documents))


@dataclass(frozen=True)
class Dataset:
    """Documents and the questions to be asked of them. `notes` are what a person should know about its reading."""

    name: str
    corpus: Corpus
    questions: tuple[Question, ...]
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def questions_digest(self) -> str:
        from rag_opt.store.keys import digest

        return digest(sorted(question_digest(question) for question in self.questions))


def question_digest(question: Question) -> str:
    """Hash of all that a question says, evidence and reference answer included."""
    from rag_opt.store.keys import digest

    evidence = None
    if question.evidence is not None:
        evidence = [[_alternative_key(a) for a in need] for need in question.evidence]
    return digest(
        [
            question.id,
            question.text,
            question.reference_answer,
            evidence,
            dict(question.filters),
            question.answerable,
        ]
    )


def _alternative_key(alternative: Alternative) -> list[str | int]:
    if isinstance(alternative, Span):
        return [alternative.document_id, alternative.start, alternative.end]
    return [alternative.document_id, alternative.relevance]


@dataclass(frozen=True)
class Candidates:
    """Ranked chunks for many questions: two arrays of [questions, depth], best first.

    `chunks` holds rows of the chunk table (-1 where a list is shorter), `scores` what the ranker gave
    (-inf where there is no chunk). Higher is better.
    """

    chunks: NDArray[np.int32]
    scores: NDArray[np.float32]

    @functools.cached_property
    def scaled(self) -> FloatArray:
        """Scores of each list mapped to [0, 1] from its worst to its best, worked out once (`rankings.min_max`)."""
        from rag_opt.rankings import min_max

        return min_max(self)

    @functools.cached_property
    def standardised(self) -> FloatArray:
        """Standard deviations above the worst of each list (`rankings.z_scores`)."""
        from rag_opt.rankings import z_scores

        return z_scores(self)

    def cut(self, depth: int) -> Candidates:
        return Candidates(self.chunks[:, :depth], self.scores[:, :depth])

    @staticmethod
    def stack(rows: Sequence[tuple[NDArray[np.int32], NDArray[np.float32]]], depth: int) -> Candidates:
        chunks = np.full((len(rows), depth), -1, np.int32)
        scores = np.full((len(rows), depth), -np.inf, np.float32)
        for row, (ids, values) in enumerate(rows):
            chunks[row, : len(ids)] = ids[:depth]
            scores[row, : len(values)] = values[:depth]
        return Candidates(chunks, scores)


@dataclass(frozen=True)
class ChunkColumns:
    """All chunks of a corpus, in the order of their documents and starts: row of the document, start, end, tokens as
    the embedder counts them.
    """

    document: NDArray[np.int32]
    start: IntArray
    end: IntArray
    tokens: IntArray

    def __len__(self) -> int:
        return len(self.document)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the generator said. A refusal has `refused` set and an empty text. `cited` are the spans it rests on."""

    text: str
    refused: bool
    cited: tuple[Span, ...] = ()
