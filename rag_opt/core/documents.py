"""Documents and the spans, chunks and answers that refer to their text.

All offsets are half-open and count characters of `Document.text`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rag_opt.core.digests import digest


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
class Answer:
    """What the generator said. A refusal has `refused` set and an empty text. `cited` are the spans it rests on."""

    text: str
    refused: bool
    cited: tuple[Span, ...] = ()


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
        return digest(sorted(digest([d.id, d.text, d.title, dict(d.metadata)]) for d in self.documents))
