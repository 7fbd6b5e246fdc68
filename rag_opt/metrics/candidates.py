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
from rag_opt.metrics.offset_line import expand_ranges

AnyInts = NDArray[np.signedinteger]
Gains = Mapping[str, NDArray[np.float64]]
_RANKINGS_AT_ONCE = 32
_QUESTIONS_AT_ONCE = 256
_EVERYWHERE = np.iinfo(np.int64).max
_TIE = 1e-13  # equal sums: the earlier chunk first, as everywhere


@dataclass(frozen=True)
class CandidatePool:
    """All candidates of each question, from all its lists.

    `chunks` [questions, width]: ascending rows of the chunk table, -1 at the end. `ranks` by list [questions, width]:
    at which rank of the list, from 0, the chunk stands; -1 where it does not.
    """

    chunks: NDArray[np.int32]
    ranks: dict[str, IntArray]

    @staticmethod
    def from_lists(lists: Mapping[str, RankedLists]) -> CandidatePool:
        """Return the pool of some lists."""
        everything = np.concatenate([ranked.chunks for ranked in lists.values()], axis=1)
        none = np.iinfo(np.int32).max
        ordered = np.sort(np.where(everything < 0, none, everything), axis=1)
        ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = none
        ordered = np.sort(ordered, axis=1)
        width = max(int((ordered < none).sum(axis=1).max(initial=0)), 1)
        ordered = ordered[:, :width]
        rows = np.arange(len(ordered), dtype=np.int64)[:, None]
        line = ((rows << 32) + ordered).ravel()  # every row on a stretch of its own, so that one search finds all
        ranks = {}
        for name, ranked in lists.items():
            row, rank = np.nonzero(ranked.chunks >= 0)
            ranks[name] = np.full(ordered.size, -1)
            ranks[name][np.searchsorted(line, (row << 32) + ranked.chunks[row, rank])] = rank
        shaped = {name: flat.reshape(ordered.shape) for name, flat in ranks.items()}
        return CandidatePool(np.where(ordered == none, -1, ordered).astype(np.int32), shaped)

    def rank(self, rankings: Sequence[Gains], top: int) -> Iterator[tuple[slice, IntArray]]:
        """Yield blocks of (which of `rankings`, [rankings, questions, top] columns of the pool), best first.

        A ranking sums what its lists give to a chunk (`Gains`); a chunk that no list of it holds is not in it (-1).
        What a list gives must not grow from one rank to the next: then a chunk that `top` others precede in every
        list need not be looked at. Of equal sums the earlier chunk comes first, or one that precedes it in every list.
        """
        kept = self._columns_for_top(top)
        small = CandidatePool(
            np.where(kept >= 0, np.take_along_axis(self.chunks, kept, 1), -1),
            {name: np.where(kept >= 0, np.take_along_axis(ranks, kept, 1), -1) for name, ranks in self.ranks.items()},
        )
        for block, order in small._rank_all(rankings, min(top, kept.shape[1])):
            yield block, np.where(order >= 0, np.take_along_axis(kept[None], np.maximum(order, 0), 2), -1)

    def _columns_for_top(self, top: int) -> IntArray:
        """Return [questions, fewer]: ascending columns of chunks that fewer than `top` others precede in every list."""
        able = self.chunks >= 0
        for start in range(0, len(self.chunks), _QUESTIONS_AT_ONCE):
            block = slice(start, start + _QUESTIONS_AT_ONCE)
            ranks = [
                np.where(r[block] < 0, np.iinfo(np.int32).max, r[block]).astype(np.int32) for r in self.ranks.values()
            ]
            never_after = np.all([rank[:, None, :] <= rank[:, :, None] for rank in ranks], axis=0)
            once_before = np.any([rank[:, None, :] < rank[:, :, None] for rank in ranks], axis=0)
            able[block] &= (never_after & once_before).sum(axis=2) < top
        kept = np.argsort(~able, axis=1, kind="stable")[:, : max(int(able.sum(axis=1).max(initial=0)), 1)]
        return np.where(np.take_along_axis(able, kept, 1), kept, -1)

    def _rank_all(self, rankings: Sequence[Gains], top: int) -> Iterator[tuple[slice, IntArray]]:
        bases = {names: self._base_cost(names) for names in {tuple(gains) for gains in rankings}}
        for start in range(0, len(rankings), _RANKINGS_AT_ONCE):
            block = rankings[start : start + _RANKINGS_AT_ONCE]
            cost = np.stack([bases[tuple(gains)] for gains in block])
            for number, gains in enumerate(block):
                for name, gain in gains.items():
                    cost[number] -= self._gain_by_chunk(name, gain)
            best = np.argpartition(cost, top - 1, axis=2)[:, :, :top]
            least = np.take_along_axis(cost, best, 2)
            order = least.argsort(axis=2)
            held = np.take_along_axis(least, order, 2) < np.inf
            yield slice(start, start + len(block)), np.where(held, np.take_along_axis(best, order, 2), -1)

    def _base_cost(self, names: Sequence[str]) -> FloatArray:
        """Return [questions, width]: the cost that rankings of these lists begin with; infinite where none has it."""
        held = np.any([self.ranks[name] >= 0 for name in names], axis=0)
        base: FloatArray = np.where(held, np.arange(held.shape[1]) * _TIE, np.inf)
        return base

    def _gain_by_chunk(self, name: str, gains: FloatArray) -> FloatArray:
        """Return [questions, width]: what a list gives to each chunk of the pool."""
        count, depth = gains.shape
        padded = np.zeros((count, depth + 1))
        padded[:, :depth] = gains
        ranks = self.ranks[name]
        gain: FloatArray = padded.take(np.where(ranks < 0, depth, ranks) + np.arange(count)[:, None] * (depth + 1))
        return gain


@dataclass(frozen=True)
class EvidenceFound:
    """Evidence that each candidate covers. It is cut into pieces that a chunk covers whole or not at all.

    `bits` [questions, width, words]: the pieces that a chunk covers. `sizes` [questions, pieces, alternatives]:
    characters that a piece adds to an alternative; `lengths` of the alternatives in characters, `need` which need each
    is of (-1: no alternative). A document named as evidence is one piece of size 1.
    """

    bits: NDArray[np.uint64]
    sizes: NDArray[np.float32]
    lengths: FloatArray
    need: IntArray

    @staticmethod
    def from_pool(
        pool: CandidatePool, document: AnyInts, start: IntArray, end: IntArray, *, spans: Gold, documents: Gold
    ) -> EvidenceFound:
        """Return what the candidates of a pool cover.

        `document`, `start`, `end`: of every chunk of the table. A question may have either kind of evidence.
        """
        overlaps = _find_overlaps(pool, document, start, end, spans, documents)
        pieces = _cut_pieces(overlaps, questions=len(pool.chunks))
        return EvidenceFound(
            _cover_bits(pool, overlaps, pieces), *_measure_alternatives(overlaps, pieces, len(pool.chunks))
        )

    def recall(self, order: IntArray) -> FloatArray:
        """Return [rankings, questions, ranks]: share of evidence that the first hits cover; NaN without evidence.

        `order` [rankings, questions, ranks]: columns of the pool, -1 for no hit. Each need counts by its best-covered
        alternative.
        """
        rows = np.arange(order.shape[1])[None, :, None]
        taken = np.where((order >= 0)[..., None], self.bits[rows, np.maximum(order, 0)], np.uint64(0))
        seen = np.bitwise_or.accumulate(taken, axis=2).view(np.uint8)  # the bytes of each word, lowest first
        recall = np.zeros(order.shape)
        for number in range(self._share_of_byte.shape[1]):
            recall += self._share_of_byte[rows, number, seen[..., number]]
        several = self._with_alternatives
        recall[:, several] = self._recall_by_best_alternative(seen[:, several])
        recall[:, (self.need < 0).all(axis=1)] = np.nan
        return recall

    @functools.cached_property
    def _with_alternatives(self) -> IntArray:
        """Questions with a need that has several alternatives: which of them counts depends on what was seen."""
        needs = np.sort(self.need, axis=1)
        return np.flatnonzero(((needs[:, 1:] == needs[:, :-1]) & (needs[:, 1:] >= 0)).any(axis=1))

    @functools.cached_property
    def _share_of_byte(self) -> FloatArray:
        """[questions, bytes, 256]: the share of the evidence that each value of each byte of the bits stands for."""
        count, pieces, _ = self.sizes.shape
        size = np.zeros((count, -(-pieces // 8) * 8))
        size[:, :pieces] = self.sizes.sum(axis=2) / np.maximum(self.lengths.sum(axis=1), 1)[:, None]
        flags = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
        tables: FloatArray = np.einsum("qbi,vi->qbv", size.reshape(count, -1, 8), flags)
        return tables

    def _recall_by_best_alternative(self, seen: NDArray[np.uint8]) -> FloatArray:
        """Return [rankings, some questions, ranks]: recall where a need has several alternatives."""
        rows = self._with_alternatives
        sizes, lengths, need = self.sizes[rows], self.lengths[rows][:, None], self.need[rows][:, None]
        flags = np.unpackbits(seen, axis=3, bitorder="little")[..., : sizes.shape[1]].astype(np.float32)
        covered = np.einsum("rqkp,qps->rqks", flags, sizes, optimize=True)
        wanted = np.broadcast_to(lengths, covered.shape)
        total_covered = total_wanted = np.zeros(covered.shape[:3])
        for number in range(int(need.max(initial=-1)) + 1):
            share = np.where(need == number, covered / np.maximum(lengths, 1), -1.0)
            best = share.argmax(axis=3)[..., None]
            has = (need == number).any(axis=2)
            total_covered = total_covered + np.where(has, np.take_along_axis(covered, best, 3)[..., 0], 0)
            total_wanted = total_wanted + np.where(has, np.take_along_axis(wanted, best, 3)[..., 0], 0)
        recall: FloatArray = total_covered / np.maximum(total_wanted, 1)
        return recall


@dataclass(frozen=True)
class _Overlaps:
    """Alternatives in the order of their questions, and where the candidates of the pool touch them.

    `low`, `high` [alternatives, width]: what a candidate covers of an alternative, in characters of its document; the
    same where it covers nothing.
    """

    question: IntArray
    need: IntArray
    start: IntArray
    end: IntArray
    low: IntArray
    high: IntArray

    @functools.cached_property
    def length(self) -> int:
        """Characters from one alternative to the next on the line that they are laid out on."""
        return int(self.end.max(initial=0)) + 1

    @functools.cached_property
    def touch(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Per pair that touches: alternative, column of the pool, first and last place on the line."""
        alternative, column = np.nonzero(self.high > self.low)
        base = alternative * self.length
        return alternative, column, base + self.low[alternative, column], base + self.high[alternative, column]


@dataclass(frozen=True)
class _Pieces:
    """Pieces of the alternatives, in their order. `before`: how many begin before each of `points` on the line."""

    points: IntArray
    before: IntArray
    alternative: IntArray
    question: IntArray
    size: IntArray
    bit: IntArray


def _find_overlaps(
    pool: CandidatePool, document: AnyInts, start: IntArray, end: IntArray, spans: Gold, documents: Gold
) -> _Overlaps:
    order = np.argsort(np.concatenate([spans.need, documents.need]), kind="stable")  # needs are numbered by question
    whole = np.concatenate([np.zeros(len(spans.question), bool), np.ones(len(documents.question), bool)])[order]
    question = np.concatenate([spans.question, documents.question])[order]
    need = np.concatenate([spans.need, documents.need])[order]
    gold_document = np.concatenate([spans.document, documents.document])[order]
    gold_start = np.concatenate([spans.start, np.zeros_like(documents.start)])[order]
    gold_end = np.concatenate([spans.end, np.ones_like(documents.end)])[order]
    first = np.concatenate([np.zeros_like(spans.start), documents.start])[order]  # of a page: touching it is enough
    last = np.concatenate([np.full_like(spans.end, _EVERYWHERE), documents.end])[order]
    chunks = pool.chunks[question]
    here = (chunks >= 0) & (document[chunks] == gold_document[:, None])
    here &= (start[chunks] < last[:, None]) & (end[chunks] > first[:, None])
    low = np.where(whole[:, None], 0, np.maximum(start[chunks], gold_start[:, None]))
    high = np.where(whole[:, None], 1, np.minimum(end[chunks], gold_end[:, None]))
    return _Overlaps(question, need, gold_start, gold_end, np.where(here, low, 0), np.where(here, high, 0))


def _cut_pieces(overlaps: _Overlaps, *, questions: int) -> _Pieces:
    """Cut every alternative wherever it or what touches it begins or ends."""
    base = np.arange(len(overlaps.question)) * overlaps.length
    _, _, first, last = overlaps.touch
    points = np.unique(np.concatenate([base + overlaps.start, base + overlaps.end, first, last]))
    owner = points[:-1] // overlaps.length if len(points) else points
    inside = owner == points[1:] // overlaps.length
    alternative = owner[inside]
    question = overlaps.question[alternative]
    # pieces are in the order of alternatives, and those in the order of questions
    bit = np.arange(len(question)) - np.searchsorted(question, np.arange(questions))[question]
    before = np.concatenate([[0], np.cumsum(inside)])
    return _Pieces(points, before, alternative, question, np.diff(points)[inside], bit)


def _cover_bits(pool: CandidatePool, overlaps: _Overlaps, pieces: _Pieces) -> NDArray[np.uint64]:
    """Return [questions, width, words]: a bit for each piece that a candidate covers."""
    _, column, first, last = overlaps.touch
    pair, piece = expand_ranges(
        pieces.before[np.searchsorted(pieces.points, first)], pieces.before[np.searchsorted(pieces.points, last)]
    )
    count = int(pieces.bit.max(initial=0)) + 1
    bits = np.zeros((*pool.chunks.shape, -(-count // 64)), np.uint64)
    bit = pieces.bit[piece]
    at = (pieces.question[piece], column[pair], bit // 64)
    np.bitwise_or.at(bits, at, np.uint64(1) << (bit % 64).astype(np.uint64))
    return bits


def _measure_alternatives(
    overlaps: _Overlaps, pieces: _Pieces, questions: int
) -> tuple[NDArray[np.float32], FloatArray, IntArray]:
    """Return `sizes`, `lengths` and `need` of a EvidenceFound."""
    question = overlaps.question
    slot = np.arange(len(question)) - np.searchsorted(question, question)
    slots, count = int(slot.max(initial=0)) + 1, int(pieces.bit.max(initial=0)) + 1
    sizes = np.zeros((questions, count, slots), np.float32)
    sizes[pieces.question, pieces.bit, slot[pieces.alternative]] = pieces.size
    lengths, needs = np.zeros((questions, slots)), np.full((questions, slots), -1)
    lengths[question, slot] = overlaps.end - overlaps.start
    needs[question, slot] = overlaps.need - overlaps.need[np.searchsorted(question, question)]
    return sizes, lengths, needs
