"""Many rankings of the same candidates against evidence, in one array pass (NumPy only).

A sweep reorders lists that are stored. What a chunk covers of a question's evidence does not depend on where it
stands, so it is worked out once, as bits; a ranking is then a few gathers and running ORs.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.arrays import FloatArray, IntArray
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.metrics.evidence import Gold

AnyInts = NDArray[np.signedinteger]
Gains = Mapping[str, NDArray[np.float64]]
_RANKINGS_AT_ONCE = 32
_QUESTIONS_AT_ONCE = 256
_TIE = 1e-13  # equal sums: the earlier chunk first, as everywhere


@dataclass(frozen=True)
class Pool:
    """All candidates of each question, from all its lists. `chunks` [questions, width]: ascending rows, -1 at the end.

    `ranks` by list: [questions, width], at which place of the list the chunk stands, -1 where it does not.
    """

    chunks: NDArray[np.int32]
    ranks: dict[str, IntArray]

    @staticmethod
    def of(lists: Mapping[str, RankedLists]) -> Pool:
        everything = np.concatenate([one.chunks for one in lists.values()], axis=1)
        none = np.iinfo(np.int32).max
        ordered = np.sort(np.where(everything < 0, none, everything), axis=1)
        ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = none
        ordered = np.sort(ordered, axis=1)
        width = max(int((ordered < none).sum(axis=1).max(initial=0)), 1)
        ordered = ordered[:, :width]
        rows = np.arange(len(ordered), dtype=np.int64)[:, None]
        line = ((rows << 32) + ordered).ravel()  # every row on a stretch of its own, so that one search finds all
        ranks = {}
        for name, one in lists.items():
            row, place = np.nonzero(one.chunks >= 0)
            ranks[name] = np.full(ordered.size, -1)
            ranks[name][np.searchsorted(line, (row << 32) + one.chunks[row, place])] = place
        shaped = {name: flat.reshape(ordered.shape) for name, flat in ranks.items()}
        return Pool(np.where(ordered == none, -1, ordered).astype(np.int32), shaped)

    def orders(self, many: Sequence[Gains], top: int) -> Iterator[tuple[slice, IntArray]]:
        """The best `top` candidates of each ranking: blocks of (which of `many`, [rankings, questions, top] places).

        A ranking sums what its lists give to a chunk (`gains`); a chunk that no list of it holds is not in it (-1).
        What a list gives must not grow from one place to the next: then a chunk that `top` others precede in every
        list need not be looked at. Of equal sums the earlier chunk comes first, or one that precedes it in every list.
        """
        kept = self._among_the_best(top)
        small = Pool(
            np.where(kept >= 0, np.take_along_axis(self.chunks, kept, 1), -1),
            {name: np.where(kept >= 0, np.take_along_axis(ranks, kept, 1), -1) for name, ranks in self.ranks.items()},
        )
        for block, order in small._orders(many, min(top, kept.shape[1])):
            yield block, np.where(order >= 0, np.take_along_axis(kept[None], np.maximum(order, 0), 2), -1)

    def _among_the_best(self, top: int) -> IntArray:
        """[questions, fewer]: places, ascending, of the chunks that fewer than `top` others precede in every list."""
        able = self.chunks >= 0
        for start in range(0, len(self.chunks), _QUESTIONS_AT_ONCE):
            some = slice(start, start + _QUESTIONS_AT_ONCE)
            places = [
                np.where(r[some] < 0, np.iinfo(np.int32).max, r[some]).astype(np.int32) for r in self.ranks.values()
            ]
            never_after = np.all([place[:, None, :] <= place[:, :, None] for place in places], axis=0)
            once_before = np.any([place[:, None, :] < place[:, :, None] for place in places], axis=0)
            able[some] &= (never_after & once_before).sum(axis=2) < top
        kept = np.argsort(~able, axis=1, kind="stable")[:, : max(int(able.sum(axis=1).max(initial=0)), 1)]
        return np.where(np.take_along_axis(able, kept, 1), kept, -1)

    def _orders(self, many: Sequence[Gains], top: int) -> Iterator[tuple[slice, IntArray]]:
        bases = {names: self._base(names) for names in {tuple(gains) for gains in many}}
        for start in range(0, len(many), _RANKINGS_AT_ONCE):
            block = many[start : start + _RANKINGS_AT_ONCE]
            cost = np.stack([bases[tuple(gains)] for gains in block])
            for number, gains in enumerate(block):
                for name, given in gains.items():
                    cost[number] -= self._given(name, given)
            best = np.argpartition(cost, top - 1, axis=2)[:, :, :top]
            least = np.take_along_axis(cost, best, 2)
            order = least.argsort(axis=2)
            held = np.take_along_axis(least, order, 2) < np.inf
            yield slice(start, start + len(block)), np.where(held, np.take_along_axis(best, order, 2), -1)

    def _base(self, names: Sequence[str]) -> FloatArray:
        """[questions, width]: what every ranking of these lists begins with; infinite where none holds the chunk."""
        held = np.any([self.ranks[name] >= 0 for name in names], axis=0)
        base: FloatArray = np.where(held, np.arange(held.shape[1]) * _TIE, np.inf)
        return base

    def _given(self, name: str, gains: FloatArray) -> FloatArray:
        """[questions, width]: what a list gives to each chunk of the pool."""
        count, depth = gains.shape
        padded = np.zeros((count, depth + 1))
        padded[:, :depth] = gains
        ranks = self.ranks[name]
        given: FloatArray = padded.take(np.where(ranks < 0, depth, ranks) + np.arange(count)[:, None] * (depth + 1))
        return given


@dataclass(frozen=True)
class Coverage:
    """What each candidate covers. `bits` [questions, width, words]: pieces of evidence that the chunk covers whole.

    `sizes` [questions, pieces, alternatives]: characters that a piece adds to an alternative; `lengths` of the
    alternatives in characters, `need` which need each is of (-1: no alternative). A document named as evidence is
    one piece of size 1.
    """

    bits: NDArray[np.uint64]
    sizes: NDArray[np.float32]
    lengths: FloatArray
    need: IntArray

    @staticmethod
    def of(pool: Pool, document: AnyInts, start: IntArray, end: IntArray, *, spans: Gold, documents: Gold) -> Coverage:
        """`document`, `start`, `end`: of every chunk of the table. A question may have either kind of evidence."""
        question, need, begin, finish, low, high = _overlaps(pool, document, start, end, spans, documents)
        length = int(finish.max(initial=0)) + 1
        alternative = np.arange(len(question))[:, None]
        touch = high > low
        owner = np.broadcast_to(alternative, touch.shape)[touch]
        edges = [alternative[:, 0] * length + begin, alternative[:, 0] * length + finish]
        points = np.unique(np.concatenate([*edges, owner * length + low[touch], owner * length + high[touch]]))
        piece_owner = points[:-1] // length if len(points) else points
        same = piece_owner == points[1:] // length
        before = np.concatenate([[0], np.cumsum(same)])  # pieces that begin before each point
        piece_owner, size = piece_owner[same], np.diff(points)[same]
        asked = question[piece_owner]
        first_of_question = np.searchsorted(asked, np.arange(len(pool.chunks)))
        # pieces are in the order of alternatives, and those in the order of questions
        bit = np.arange(len(asked)) - first_of_question[asked]
        most = int(bit.max(initial=0)) + 1

        first = before[np.searchsorted(points, owner * length + low[touch])]
        last = before[np.searchsorted(points, owner * length + high[touch])]
        place = np.broadcast_to(np.arange(pool.chunks.shape[1]), touch.shape)[touch]
        counts = last - first
        pair = np.repeat(np.arange(len(first)), counts)
        piece = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts - first, counts)
        bits = np.zeros((*pool.chunks.shape, -(-most // 64)), np.uint64)
        at = (asked[piece], place[pair], bit[piece] // 64)
        np.bitwise_or.at(bits, at, np.uint64(1) << (bit[piece] % 64).astype(np.uint64))

        slot = np.arange(len(question)) - np.searchsorted(question, question)
        slots = int(slot.max(initial=0)) + 1
        sizes = np.zeros((len(pool.chunks), most, slots), np.float32)
        sizes[asked, bit, slot[piece_owner]] = size
        lengths, requires = np.zeros((len(pool.chunks), slots)), np.full((len(pool.chunks), slots), -1)
        lengths[question, slot] = finish - begin
        requires[question, slot] = need - need[np.searchsorted(question, question)]
        return Coverage(bits, sizes, lengths, requires)

    def recall(self, order: IntArray) -> FloatArray:
        """[rankings, questions, ranks]: share of the evidence covered by the first hits; NaN without evidence.

        `order`: places in the pool, -1 for no hit. Each need counts by its best-covered alternative.
        """
        rows = np.arange(order.shape[1])[None, :, None]
        taken = np.where((order >= 0)[..., None], self.bits[rows, np.maximum(order, 0)], np.uint64(0))
        seen = np.bitwise_or.accumulate(taken, axis=2).view(np.uint8)  # the bytes of each word, lowest first
        recall = np.zeros(order.shape)
        for number in range(self._tables.shape[1]):
            recall += self._tables[rows, number, seen[..., number]]
        several = self._several
        recall[:, several] = self._by_best_alternative(seen[:, several])
        recall[:, (self.need < 0).all(axis=1)] = np.nan
        return recall

    @functools.cached_property
    def _several(self) -> IntArray:
        """Questions with a need that has several alternatives: which of them counts depends on what was seen."""
        requires = np.sort(self.need, axis=1)
        return np.flatnonzero(((requires[:, 1:] == requires[:, :-1]) & (requires[:, 1:] >= 0)).any(axis=1))

    @functools.cached_property
    def _tables(self) -> FloatArray:
        """[questions, bytes, 256]: the share of the evidence that each value of each byte of the bits stands for."""
        count, pieces, _ = self.sizes.shape
        size = np.zeros((count, -(-pieces // 8) * 8))
        size[:, :pieces] = self.sizes.sum(axis=2) / np.maximum(self.lengths.sum(axis=1), 1)[:, None]
        flags = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
        tables: FloatArray = np.einsum("qbi,vi->qbv", size.reshape(count, -1, 8), flags)
        return tables

    def _by_best_alternative(self, seen: NDArray[np.uint8]) -> FloatArray:
        """[rankings, some questions, ranks]: recall where a need has several alternatives."""
        some = self._several
        sizes, lengths, need = self.sizes[some], self.lengths[some][:, None], self.need[some][:, None]
        flags = np.unpackbits(seen, axis=3, bitorder="little")[..., : sizes.shape[1]].astype(np.float32)
        covered = np.einsum("rqkp,qps->rqks", flags, sizes, optimize=True)
        done = wanted = np.zeros(covered.shape[:3])
        for number in range(int(need.max(initial=-1)) + 1):
            share = np.where(need == number, covered / np.maximum(lengths, 1), -1.0)
            best = share.argmax(axis=3)[..., None]
            has = (need == number).any(axis=2)
            done = done + np.where(has, np.take_along_axis(covered, best, 3)[..., 0], 0)
            wanted = wanted + np.where(
                has, np.take_along_axis(np.broadcast_to(lengths, covered.shape), best, 3)[..., 0], 0
            )
        recall: FloatArray = done / np.maximum(wanted, 1)
        return recall


def _overlaps(
    pool: Pool, document: AnyInts, start: IntArray, end: IntArray, spans: Gold, documents: Gold
) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray, IntArray]:
    """Per alternative, by question: question, need, begin, end; then [alternatives, width]: where chunks touch it."""
    question = np.concatenate([spans.question, documents.question])
    order = np.argsort(np.concatenate([spans.need, documents.need]), kind="stable")  # needs are numbered by question
    whole = np.concatenate([np.zeros(len(spans.question), bool), np.ones(len(documents.question), bool)])[order]
    columns = [np.concatenate([getattr(g, name) for g in (spans, documents)])[order] for name in ("need", "document")]
    begin = np.concatenate([spans.start, np.zeros_like(documents.start)])[order]
    finish = np.concatenate([spans.end, np.ones_like(documents.end)])[order]
    question, need, where = question[order], *columns
    chunks = pool.chunks[question]
    here = (chunks >= 0) & (document[chunks] == where[:, None])
    low = np.where(whole[:, None], 0, np.maximum(start[chunks], begin[:, None]))
    high = np.where(whole[:, None], 1, np.minimum(end[chunks], finish[:, None]))
    return question, need, begin, finish, np.where(here, low, 0), np.where(here, high, 0)
