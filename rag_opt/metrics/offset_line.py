"""Half-open intervals on one integer line that no two questions or documents share, in arrays.

Every offset is mapped to a place: (question, document, offset) -> an integer. Unions and intersections of spans
are then sorts and running sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class OffsetLine:
    """The line for `questions` questions over `documents` documents, each shorter than `length` characters."""

    questions: int
    documents: int
    length: int

    def places(
        self, question: IntArray, document: IntArray, start: IntArray, end: IntArray
    ) -> tuple[IntArray, IntArray]:
        """Return where spans begin and end on the line."""
        base = (question * self.documents + document) * self.length
        return base + start, base + end

    def question_of(self, place: IntArray) -> IntArray:
        """Return the question that each place belongs to."""
        return place // (self.documents * self.length)

    def sum_by_question(self, place: IntArray, amount: IntArray) -> FloatArray:
        """Return [questions]: the sum of the amounts that stand at places of each question."""
        return np.bincount(self.question_of(place), amount, self.questions).astype(float)


class IntervalUnion:
    """The union of half-open intervals, as sorted, disjoint ones: `start` and `end`."""

    def __init__(self, start: IntArray, end: IntArray) -> None:
        order = np.argsort(start, kind="stable")
        start, end = start[order], np.maximum.accumulate(end[order]) if len(end) else end
        is_first = np.ones(len(start), bool)
        is_first[1:] = start[1:] > end[:-1]
        first = np.flatnonzero(is_first)
        self.start: IntArray = start[first]
        self.end: IntArray = end[np.append(first[1:] - 1, len(end) - 1)] if len(end) else end
        self._size_before = np.concatenate([[0], np.cumsum(self.end - self.start)])

    def overlap(self, start: IntArray, end: IntArray) -> IntArray:
        """Return how much of each interval [start, end) lies in the union."""
        return self._size_below(end) - self._size_below(start)

    def _size_below(self, place: IntArray) -> IntArray:
        index = np.searchsorted(self.start, place, side="right") - 1
        inside = np.minimum(place, self.end[index]) - self.start[index] if len(self.start) else place * 0
        below: IntArray = np.where(index >= 0, self._size_before[index] + inside, 0)
        return below


def first_per_group(group: IntArray, value: NDArray[np.generic]) -> IntArray:
    """Return the position of the smallest value of each group, the earliest of equal ones."""
    order = np.lexsort((np.arange(len(group)), value, group))
    is_first = np.ones(len(group), bool)
    is_first[1:] = group[order][1:] != group[order][:-1]
    return order[is_first]


def expand_ranges(low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
    """Return all pairs (i, j) of indices with j in [low[i], high[i])."""
    count = np.maximum(high - low, 0)
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(count) - count - low, count)
