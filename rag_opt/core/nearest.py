"""Exact nearest neighbours among vectors in memory, the same whatever else is asked at once."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from rag_opt.core.arrays import IntArray, Vectors
from rag_opt.core.forking import ThreadLock
from rag_opt.core.ranked_lists import RankedLists

_PRODUCTS_AT_ONCE = 16_000_000  # 64 MB
_LIMITING = ThreadLock()
_NO_SETTINGS: Mapping[str, int] = MappingProxyType({})
_MULTIPLIED_IN_ONE_THREAD = 250_000_000  # numbers
_ROUNDING = 1e-5  # more than products of unit vectors in float32 can differ by with their shape


class VectorsInMemory:
    """An open index of vectors that compares all of them, [rows, dimensions]."""

    def __init__(self, vectors: Vectors) -> None:
        self.all_vectors = vectors

    def search(
        self,
        queries: Vectors,
        depth: int,
        *,
        allowed: NDArray[np.int32] | None = None,
        settings: Mapping[str, int] = _NO_SETTINGS,
    ) -> RankedLists:
        """Return the nearest chunks of each row of `queries`; score = cosine similarity. `allowed`: only these chunks.

        `settings` are of indexes that compare only some.
        """
        return find_nearest(self.all_vectors, queries, depth, allowed=allowed)

    def vectors(self, chunks: NDArray[np.int32]) -> Vectors:
        """Return the vectors of some chunks, one row each, in the order asked."""
        found: Vectors = np.asarray(self.all_vectors[chunks])
        return found

    def close(self) -> None:
        """Nothing is held open."""


def find_nearest(
    vectors: Vectors, queries: Vectors, depth: int, *, allowed: NDArray[np.int32] | None = None
) -> RankedLists:
    """Return the `depth` nearest of `vectors`, [rows, dimensions], of each of `queries`, all of length 1.

    Score = cosine similarity; of equal scores the earlier row comes first. `allowed`: only these rows. A matrix product
    finds what may be among the nearest, and those are scored one by one in float64: the rounding of a product depends
    on its shape, on threads and on the processor, and must decide nothing.
    """
    able = vectors if allowed is None else vectors[allowed]
    step = max(1, _PRODUCTS_AT_ONCE // max(len(able), 1))
    rows = []
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        for query, products in zip(block, _multiply(block, able), strict=True):
            places = _find_above(products, depth)
            scores = score(able[places], query)
            chunks = places.astype(np.int32) if allowed is None else allowed[places]
            order = np.lexsort((chunks, -scores))[:depth]
            rows.append((chunks[order], scores[order]))
    return RankedLists.stack(rows, depth)


def _multiply(queries: Vectors, vectors: Vectors) -> Vectors:
    """Return the products of queries with vectors, [queries, rows]; a small matrix in one thread.

    Threads of NumPy's library wait busily for more to do, for longer than so little work takes: beside a model that
    encodes the next query they made it three times as slow (docs/benchmarks.md, serving).
    """
    if len(queries) * vectors.size > _MULTIPLIED_IN_ONE_THREAD:
        products: Vectors = queries @ vectors.T
        return products
    with _LIMITING, _threads().limit(limits=1, user_api="blas"):  # of the process: two at once would undo each other
        return queries @ vectors.T


@functools.cache
def _threads() -> ThreadpoolController:
    """Return what sets the threads of NumPy's library; looking for it takes some milliseconds."""
    return ThreadpoolController()


def score(vectors: Vectors, query: Vectors) -> Vectors:
    """Return the products of vectors, [rows, dimensions], with a query, each the same in whatever company."""
    products: Vectors = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1).astype(np.float32)
    return products


def _find_above(products: Vectors, depth: int) -> IntArray:
    """Return the rows whose product may be among the best `depth`, in their order."""
    if depth >= len(products):
        return np.arange(len(products))
    least = np.partition(products, len(products) - depth)[len(products) - depth]
    return np.flatnonzero(products >= least - _ROUNDING)
