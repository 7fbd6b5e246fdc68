"""What a vector store does for a bundle; one file beside this one for each kind of store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from rag_opt.core.arrays import IntArray, Vectors
from rag_opt.core.documents import Span
from rag_opt.core.filters import Condition, Scalar
from rag_opt.core.ranked_lists import RankedLists

MetadataType = Literal["text", "integer", "number", "boolean", "mixed"]


@dataclass(frozen=True)
class Records:
    """Some chunks of a bundle as a collection holds them: numbers, vectors [rows, dimensions] of length 1, contents,
    places, and the metadata of their documents (texts, numbers, true and false; nothing else can be filtered by).
    """

    chunks: IntArray
    vectors: Vectors
    texts: Sequence[str]
    places: Sequence[Span]
    metadata: Sequence[Mapping[str, Scalar]]


@dataclass(frozen=True)
class CollectionShape:
    """What all records of a collection have: size of the vectors, and metadata by name with their type."""

    dimensions: int
    metadata: Mapping[str, MetadataType]


class VectorStore(Protocol):
    """Collections of vectors at one address. `exact`: all are compared; `most_asked`: the longest list that it gives.

    A record's id is its chunk's number. Vectors have length 1, and a score is their product. An alias is a name that
    stands for a collection and is moved to another in one step. Every method may raise what the client's library does.
    """

    exact: bool
    most_asked: int

    def names(self) -> set[str]:
        """Return the names of all collections, and of whatever else has a name that a collection could have."""
        ...

    def create(self, collection: str, shape: CollectionShape) -> None:
        """Create an empty collection."""
        ...

    def stored(self, collection: str) -> IntArray:
        """Return the numbers of the chunks in a collection, in any order."""
        ...

    def write(self, collection: str, records: Records) -> None:
        """Write records; those of the same numbers are replaced. They are kept when this returns."""
        ...

    def target(self, alias: str) -> str | None:
        """Return what an alias stands for; None where the name is no alias."""
        ...

    def switch(self, alias: str, collection: str) -> None:
        """Let an alias stand for a collection, whatever it stood for before."""
        ...

    def drop(self, collection: str) -> None:
        """Remove a collection."""
        ...

    def search(self, collection: str, queries: Vectors, depth: int, conditions: Sequence[Condition]) -> RankedLists:
        """Return the nearest chunks of each query among those that fit all conditions, best first."""
        ...

    def vectors(self, collection: str, chunks: IntArray) -> Vectors:
        """Return the vectors of some chunks, a row each, in the order asked."""
        ...

    def refusal(self, condition: Condition, kind: MetadataType) -> str:
        """Return why the store cannot compare metadata of a type as a condition says, in words; empty where it can."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...
