"""Documents and the spans, chunks and answers that refer to their text.

All offsets are half-open and count characters of `Document.text`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from rag_opt.core.digests import digest

Metadata = Mapping[str, object]
BlockKind = Literal[
    "title", "heading", "paragraph", "list item", "table", "code", "quotation", "caption", "page head", "page foot",
    "footnote", "metadata",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document's structure, as its reader found it: half-open offsets of its text.

    `level`: of a heading, from 1; of a list item, how deep its list is nested, from 1. `label`: the number or mark that
    stands before it, as "4.2". `header_end`: of a table, where the rows below its header begin; 0 without a header.
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    label: str = ""
    header_end: int = 0

    def to_list(self) -> list[str | int]:
        """Return plain data that `from_list` turns back into an equal block."""
        return [self.kind, self.start, self.end, self.level, self.label, self.header_end]

    @staticmethod
    def from_list(data: Sequence[str | int]) -> Block:
        """Return the block that `to_list` wrote."""
        kind, start, end, level, label, header_end = data
        return Block(cast(BlockKind, kind), int(start), int(end), int(level), str(label), int(header_end))


@dataclass(frozen=True, slots=True)
class Document:
    """A text with its id, title and metadata. The text never changes after reading: every offset refers to it.

    `blocks` do not overlap and stand in the order of the text; None where nobody looked for them. `pages`: (offset,
    page) where the text of another page begins, pages counted from 1; empty where there are none.
    """

    id: str
    text: str
    title: str = ""
    metadata: Metadata = field(default_factory=dict)
    blocks: tuple[Block, ...] | None = None
    pages: tuple[tuple[int, int], ...] = ()

    @property
    def structure(self) -> list[object]:
        """Blocks and pages as plain data, as they are stored and hashed."""
        blocks = None if self.blocks is None else [block.to_list() for block in self.blocks]
        return [blocks, [list(page) for page in self.pages]]


def build_document(
    id: str,
    text: str,
    title: str = "",
    metadata: Metadata | None = None,
    blocks: Sequence[Sequence[str | int]] | None = None,
    pages: Sequence[Sequence[int]] = (),
) -> Document:
    """Return a document from plain data, `structure` as it was written."""
    known = None if blocks is None else tuple(map(Block.from_list, blocks))
    return Document(id, text, title, metadata or {}, known, tuple((offset, page) for offset, page in pages))


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A place in a document: `document.text[start:end]` is exactly its content."""

    document_id: str
    start: int
    end: int

    def to_list(self) -> list[str | int]:
        """Return `[document id, start, end]`, as it is stored and hashed."""
        return [self.document_id, self.start, self.end]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span cut for indexing. `embed_text`, when given, is embedded instead of its content."""

    start: int
    end: int
    embed_text: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The text that a generator wrote and the spans that it cites. A refusal has `refused` set and an empty text.

    `confidence`: what the generator refuses by, higher is surer; None where it gives none.
    """

    text: str
    refused: bool
    cited: tuple[Span, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a span stands, as people say it: `page` from 1, None without pages; `headings` above it, highest first."""

    document: str
    page: int | None
    headings: tuple[str, ...]


@dataclass(frozen=True)
class Corpus:
    """The documents of a data set. They may be read from a file one by one: what is asked often is kept here.

    `language`: ISO 639-1 code of what most of it is written in; empty where it is not known.
    """

    documents: Sequence[Document]
    language: str = ""

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        """Ids of the documents, in their order."""
        return tuple(document.id for document in self.documents)

    @functools.cached_property
    def position(self) -> dict[str, int]:
        """Document id -> its row in every array that names documents by number."""
        return {document_id: row for row, document_id in enumerate(self.ids)}

    @functools.cached_property
    def characters(self) -> int:
        """Number of characters of all texts together."""
        return sum(len(document.text) for document in self.documents)

    @functools.cached_property
    def metadata(self) -> tuple[Metadata, ...]:
        """Metadata of the documents, in their order."""
        return tuple(document.metadata for document in self.documents)

    def __getitem__(self, document_id: str) -> Document:
        return self.documents[self.position[document_id]]

    def text(self, span: Span) -> str:
        """Return the content of a span."""
        return self[span.document_id].text[span.start : span.end]

    @functools.cached_property
    def digest(self) -> str:
        """Hash of everything in it; the order of the documents does not matter."""
        return digest(sorted(digest([d.id, d.text, d.title, dict(d.metadata), d.structure]) for d in self.documents))
