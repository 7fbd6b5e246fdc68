"""What an index can be asked when it is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.arrays import Vectors

if TYPE_CHECKING:
    from rag_opt.core.ranked_lists import RankedLists

ChunkIds = NDArray[np.int32]


class OpenTextIndex(Protocol):
    """An open index that is searched by words."""

    def search(
        self, queries: Sequence[str], depth: int, *, allowed: ChunkIds | None = None, settings: Mapping[str, int] = ...
    ) -> RankedLists:
        """Return the best chunks of each query. `allowed`: only these chunks."""
        ...

    def close(self) -> object:
        """Release what it holds."""
        ...


class StoredVectors(Protocol):
    """The vectors of an open index."""

    def vectors(self, chunks: ChunkIds) -> Vectors:
        """Return the stored vectors of some chunks, a row each, in the order asked."""
        ...

    def close(self) -> object:
        """Release what it holds."""
        ...


class OpenVectorIndex(StoredVectors, Protocol):
    """An open index that is searched by vectors."""

    def search(
        self, queries: Vectors, depth: int, *, allowed: ChunkIds | None = None, settings: Mapping[str, int] = ...
    ) -> RankedLists:
        """Return the best chunks of each query [queries, dimensions]. `allowed`: only these chunks."""
        ...


@runtime_checkable
class FilteringVectorIndex(StoredVectors, Protocol):
    """An open index that is searched by vectors and knows the documents' metadata: it is asked by filters."""

    def search_fitting(
        self, queries: Vectors, depth: int, *, filters: Mapping[str, object], exclude: Sequence[str]
    ) -> RankedLists:
        """Return the best chunks of each query, of documents that fit the filters and are not in `exclude`."""
        ...


OpenIndex = OpenTextIndex | OpenVectorIndex | FilteringVectorIndex
