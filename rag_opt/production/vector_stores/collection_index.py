"""The vectors of a bundle in a collection, searched instead of the bundle's own index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.arrays import Vectors
from rag_opt.core.documents import Corpus
from rag_opt.core.filters import Absent, Condition, OneOf, Scalar, read_conditions
from rag_opt.core.nearest import score
from rag_opt.core.ranked_lists import ChunkColumns, RankedLists
from rag_opt.production.vector_stores.addresses import CollectionAddress, blaming
from rag_opt.production.vector_stores.interfaces import VectorStore
from rag_opt.production.vector_stores.records import find_not_pushed, is_storable, metadata_types

_SPARE = 8  # more than the list holds, so that equal scores at its end are seen
_ROUNDING = 1e-5  # more than two programs' products of the same vectors can differ by
_TIMES_MORE = 4


class CollectionIndex:
    """An open index whose vectors are in a collection.

    A list is asked for until its end is clear: of equal scores the earlier chunk comes first, and a store may return
    any of them. Scores that two programs may round differently are computed here again, of the stored vectors: so a
    store that compares all vectors gives the very list of an exact index.
    """

    def __init__(
        self, store: VectorStore, address: CollectionAddress, collection: str, chunks: ChunkColumns, corpus: Corpus
    ) -> None:
        self._store, self._address, self.collection = store, address, collection
        self._documents, self._position = chunks.document, corpus.position
        self._most = min(len(chunks.document), store.most_asked)
        self._types = metadata_types(corpus)
        self._not_pushed = find_not_pushed(corpus)

    @property
    def exact(self) -> bool:
        """Whether every vector is compared with a query."""
        return self._store.exact

    def search_fitting(
        self, queries: Vectors, depth: int, *, filters: Mapping[str, object], exclude: Sequence[str]
    ) -> RankedLists:
        """Return the nearest chunks of each query, of documents that fit the filters and are not in `exclude`."""
        # what no document has is absent everywhere, and the collection has no such name
        conditions = [c for c in read_conditions(filters) if not isinstance(c, Absent) or c.name in self._types]
        rows = [self._position[name] for name in exclude if name in self._position]
        without = np.flatnonzero(np.isin(self._documents, rows)) if rows else np.empty(0, np.int64)
        asked = min(depth + len(without) + _SPARE, self._most)
        with blaming(self._address):
            found = self._store.search(self.collection, queries, asked, conditions)
            ranked = [
                self._settle(query, found.chunks[row], found.scores[row], depth, conditions, without)
                for row, query in enumerate(queries)
            ]
        return RankedLists.stack(ranked, depth)

    def _settle(
        self,
        query: Vectors,
        chunks: NDArray[np.int32],
        scores: NDArray[np.float32],
        depth: int,
        conditions: Sequence[Condition],
        without: NDArray[np.int64],
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the first chunks of one list as an exact index orders them, asking for more until its end is clear."""
        while True:
            asked = len(chunks)
            known = chunks >= 0
            kept = known & ~np.isin(chunks, without)
            best, their_scores = chunks[kept], scores[kept]
            whole = not known.all() or asked >= self._most
            if whole or (len(best) > depth and their_scores[depth - 1] - their_scores[-1] > _ROUNDING):
                return self._order(query, best, their_scores, depth)
            more = min(asked * _TIMES_MORE, self._most)
            again = self._store.search(self.collection, query[None], more, conditions)
            chunks, scores = again.chunks[0], again.scores[0]

    def _order(
        self, query: Vectors, chunks: NDArray[np.int32], scores: NDArray[np.float32], depth: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the best `depth` in order; where neighbours are as good as equal, by scores computed here."""
        order = np.argsort(-scores, kind="stable")
        chunks, scores = chunks[order], scores[order].copy()
        near = np.abs(np.diff(scores)) <= _ROUNDING
        close = np.concatenate([near, [False]]) | np.concatenate([[False], near]) if len(scores) else near
        if close.any():
            scores[close] = score(self._store.vectors(self.collection, chunks[close].astype(np.int64)), query)
        order = np.lexsort((chunks, -scores))[:depth]
        return chunks[order], scores[order]

    def vectors(self, chunks: NDArray[np.int32]) -> Vectors:
        """Return the stored vectors of some chunks, one row each, in the order asked."""
        if not len(chunks):
            return np.zeros((0, 1), np.float32)
        with blaming(self._address):
            return self._store.vectors(self.collection, chunks.astype(np.int64))

    def refusals(self, conditions: Sequence[Condition]) -> dict[str, str]:
        """Return why the store cannot compare as some conditions say, by the name of their metadata."""
        said = {condition.name: self._refusal(condition) for condition in conditions}
        return {name: reason for name, reason in said.items() if reason}

    def _refusal(self, condition: Condition) -> str:
        if isinstance(condition, Absent):
            values: tuple[Scalar, ...] = ()
            if condition.name in self._not_pushed:
                return "some documents have a list or an object there, which is not in the collection"
        else:
            values = condition.values if isinstance(condition, OneOf) else tuple(v for _, v in condition.bounds)
        if not all(is_storable(condition.name, value) for value in (*values, True)):
            return "is a name, or a value (NUL, a number beyond 2^53), that is not in a collection"
        return self._store.refusal(condition, self._types.get(condition.name, "text"))

    def close(self) -> None:
        """Close the connection to the store."""
        self._store.close()
