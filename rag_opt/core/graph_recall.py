"""How much of what exact search finds an approximate index finds, for queries made of its own vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_ASKED, _NEAREST = 200, 10
_AWAY = 0.5  # of another vector that is added to one: real questions lie away from what answers them (docs/history.md)
_ROUNDING = 1e-5  # of cosines in float32: equal distances count as found

Find = Callable[[NDArray[np.float32], int], list[tuple[NDArray[np.int32], NDArray[np.float32]]]]


class VectorRows(Protocol):
    """Vectors of unit length, read from wherever they are."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def at(self, numbers: Iterable[int]) -> NDArray[np.float32]:
        """Return some of them, a row each."""
        ...

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield all, in blocks."""
        ...


def measure_recall(find: Find, vectors: VectorRows) -> float:
    """Return the share of the 10 nearest that are found, or of vectors that find themselves where that is less.

    `find` returns numbers and cosines of the nearest vectors of each query. `vectors`: all, of unit length; up to 200
    of them, evenly spaced, are asked for themselves, and each with half of another one added for its nearest.
    """
    if len(vectors) < 2:
        return 1.0
    numbers, asked = _probes(vectors)
    nearest = min(_NEAREST, len(vectors))
    itself = [number in found for number, (found, _) in zip(numbers, find(asked, nearest), strict=True)]
    return min(float(np.mean(itself)), measure_share_found(find, vectors))


def measure_share_found(find: Find, vectors: VectorRows) -> float:
    """Return the share of the 10 nearest of vectors half moved away that are found; equal ones count for one another.

    As `measure_recall`, of which it is the second half.
    """
    if len(vectors) < 2:
        return 1.0
    nearest, (_, asked) = min(_NEAREST, len(vectors)), _probes(vectors)
    away = asked + _AWAY * np.roll(asked, 1 + len(asked) // 2, axis=0)
    queries = (away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    best = np.full((len(queries), nearest), -np.inf, np.float32)
    for block in vectors.blocks():
        together = np.concatenate([best, queries @ block.T], axis=1)
        best = np.partition(together, together.shape[1] - nearest, axis=1)[:, -nearest:]
    found = [
        float((cosines >= worst - _ROUNDING).sum()) / nearest
        for worst, (_, cosines) in zip(best.min(axis=1), find(queries, nearest), strict=True)
    ]
    return float(np.mean(found))


def _probes(vectors: VectorRows) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the numbers of some vectors, evenly spaced, and these vectors."""
    numbers = np.unique(np.linspace(0, len(vectors) - 1, min(_ASKED, len(vectors))).astype(np.int64))
    return numbers, vectors.at(numbers.tolist())
