"""Rankings against evidence: the one place where spans are scored. NumPy only, no loop over questions.

Every offset is mapped to one integer line: (question, document, offset) -> a place that no other
question or document shares. Unions and intersections of spans are then sorts and running sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.arrays import FloatArray, IntArray
from rag_opt.core.documents import Corpus, Span
from rag_opt.core.questions import Question, WholeDocument


@dataclass(frozen=True)
class RetrievedSpans:
    """Returned spans, [questions, ranks], best first: rows of the corpus (-1: no hit) and offsets."""

    document: IntArray
    start: IntArray
    end: IntArray

    @staticmethod
    def empty(questions: int, ranks: int) -> RetrievedSpans:
        return RetrievedSpans(*(np.full((questions, ranks), fill, np.int64) for fill in (-1, 0, 0)))

    def cut(self, ranks: int) -> RetrievedSpans:
        return RetrievedSpans(self.document[:, :ranks], self.start[:, :ranks], self.end[:, :ranks])


@dataclass(frozen=True)
class Gold:
    """All alternatives of all needs, flat. `need` numbers needs across questions."""

    questions: int
    question: IntArray
    need: IntArray
    document: IntArray
    start: IntArray
    end: IntArray
    relevance: IntArray


@dataclass(frozen=True)
class SpanScores:
    """Per question, in [0, 1]; NaN where the question has no span evidence.

    recall     share of the gold characters that the hits cover together (each need by its best-covered alternative)
    precision  share of the returned characters that lie in any alternative
    iou        covered gold characters over returned or gold characters
    dcg        sum over ranks of the share of gold first covered there, over log2(1 + rank)
    hit        1 if any gold character is returned
    reciprocal_rank  1 / rank of the first hit that covers gold
    """

    recall: FloatArray
    precision: FloatArray
    iou: FloatArray
    dcg: FloatArray
    hit: FloatArray
    reciprocal_rank: FloatArray


@dataclass(frozen=True)
class DocumentScores:
    """Per question, in [0, 1]: hits collapsed to documents at their best rank. NaN without document evidence."""

    ndcg: FloatArray
    recall: FloatArray
    reciprocal_rank: FloatArray


def span_gold(questions: Sequence[Question], corpus: Corpus) -> Gold:
    return _gold(questions, corpus, Span)


def document_gold(questions: Sequence[Question], corpus: Corpus) -> Gold:
    return _gold(questions, corpus, WholeDocument)


def _gold(questions: Sequence[Question], corpus: Corpus, kind: type) -> Gold:
    rows: list[tuple[int, int, int, int, int, int]] = []
    need_number = 0
    for number, question in enumerate(questions):
        for need in question.evidence or ():
            for one in need:
                if not isinstance(one, kind):
                    continue
                row = corpus.position[one.document_id]
                if isinstance(one, Span):
                    rows.append((number, need_number, row, one.start, one.end, 1))
                else:
                    rows.append((number, need_number, row, 0, 0, one.relevance))
            need_number += 1
    columns = np.array(rows, np.int64).reshape(-1, 6).T
    return Gold(len(questions), *columns)


def score_spans(hits: RetrievedSpans, gold: Gold) -> SpanScores:
    """Score rankings by characters covered."""
    nan = np.full(gold.questions, np.nan)
    if not len(gold.question):
        return SpanScores(nan, nan, nan, nan, nan, nan)
    line = _Line(hits, gold)
    hit_start, hit_end = line.places(*line.hits)
    returned = _Union(hit_start, hit_end)
    gold_start, gold_end = line.places(gold.question, gold.document, gold.start, gold.end)

    covered = returned.measure(gold_start, gold_end)
    chosen = _best_alternative(gold.need, covered / np.maximum(gold_end - gold_start, 1))
    wanted = _Union(gold_start[chosen], gold_end[chosen])
    anything = _Union(gold_start, gold_end)

    wanted_size = line.per_question(wanted.start, wanted.end - wanted.start)
    covered_size = line.per_question(wanted.start, returned.measure(wanted.start, wanted.end))
    relevant_size = line.per_question(anything.start, returned.measure(anything.start, anything.end))
    returned_size = line.per_question(returned.start, returned.end - returned.start)

    gained = _first_covered(line, hit_start, hit_end, wanted)
    ranks = np.arange(1, gained.shape[1] + 1)
    has_hit = gained.any(axis=1)
    first_rank = (gained > 0).argmax(axis=1) if gained.size else np.zeros(gold.questions, int)
    known = wanted_size > 0
    size = np.maximum(wanted_size, 1)
    dcg = (gained / size[:, None] / np.log2(1 + ranks)).sum(axis=1)

    def only(values: FloatArray) -> FloatArray:
        return np.where(known, values, np.nan)

    return SpanScores(
        recall=only(covered_size / size),
        precision=only(relevant_size / np.maximum(returned_size, 1)),
        iou=only(covered_size / np.maximum(returned_size + wanted_size - covered_size, 1)),
        dcg=only(dcg),
        hit=only(has_hit.astype(float)),
        reciprocal_rank=only(np.where(has_hit, 1.0 / (first_rank + 1), 0.0)),
    )


def score_documents(hits: RetrievedSpans, gold: Gold, *, k: int) -> DocumentScores:
    """nDCG@k (gain = relevance, discount log2(1 + rank)), recall@k and reciprocal rank over documents.

    Of a need with several alternatives the first one returned counts, the others add nothing.
    """
    count = gold.questions
    if not len(gold.question):
        nan = np.full(count, np.nan)
        return DocumentScores(nan, nan, nan)
    rank = _document_ranks(hits)
    documents = int(max(hits.document.max(initial=0), gold.document.max())) + 1
    question = np.arange(count)[:, None]
    keys = np.where(rank >= 0, question * documents + hits.document, -1).ravel()
    order = np.argsort(keys, kind="stable")
    wanted = gold.question * documents + gold.document
    at = np.minimum(np.searchsorted(keys[order], wanted), len(order) - 1) if len(order) else np.zeros(len(wanted), int)
    found = keys[order][at] == wanted if len(order) else np.zeros(len(wanted), bool)
    gold_rank = np.where(found, rank.ravel()[order][at] if len(order) else 0, np.iinfo(np.int64).max)

    best = _first_per_group(gold.need, gold_rank)
    best_rank, best_question = gold_rank[best], gold.question[best]
    relevance = gold.relevance[best].astype(float)
    inside = best_rank < k
    discount = 1 / np.log2(2 + np.where(inside, best_rank, 0))
    requires = np.bincount(gold.question[_first_per_group(gold.need, -gold.relevance)], minlength=count)
    known = requires > 0
    dcg = np.bincount(best_question, np.where(inside, relevance * discount, 0), count)
    recall = np.bincount(best_question, inside, count) / np.maximum(requires, 1)
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, best_question, best_rank)
    seen = first < np.iinfo(np.int64).max
    reciprocal = np.where(seen, 1.0 / (np.where(seen, first, 0) + 1), 0.0)
    ideal = _ideal_dcg(gold, k)
    return DocumentScores(
        ndcg=np.where(known, dcg / np.where(ideal > 0, ideal, 1), np.nan),
        recall=np.where(known, recall, np.nan),
        reciprocal_rank=np.where(known, reciprocal, np.nan),
    )


def covered(hits: RetrievedSpans, questions: Sequence[Question], corpus: Corpus) -> FloatArray:
    """Recall per question: of characters for span evidence, of documents for document evidence; NaN without."""
    spans = score_spans(hits, span_gold(questions, corpus)).recall
    documents = score_documents(hits, document_gold(questions, corpus), k=hits.document.shape[1]).recall
    return np.where(np.isnan(spans), documents, spans)


class _Line:
    """The integer line that all questions' documents are laid out on."""

    def __init__(self, hits: RetrievedSpans, gold: Gold) -> None:
        self.length = int(max(hits.end.max(initial=0), gold.end.max(initial=0))) + 1
        self.documents = int(max(hits.document.max(initial=0), gold.document.max(initial=0))) + 1
        self.questions = gold.questions
        valid = (hits.document >= 0) & (hits.end > hits.start)
        question, self.hit_rank = np.nonzero(valid)
        self.ranks = hits.document.shape[1]
        self.hits = (question, hits.document[valid], hits.start[valid], hits.end[valid])

    def places(
        self, question: IntArray, document: IntArray, start: IntArray, end: IntArray
    ) -> tuple[IntArray, IntArray]:
        base = (question * self.documents + document) * self.length
        return base + start, base + end

    def question_of(self, place: IntArray) -> IntArray:
        return place // (self.documents * self.length)

    def per_question(self, place: IntArray, amount: IntArray) -> FloatArray:
        return np.bincount(self.question_of(place), amount, self.questions).astype(float)


class _Union:
    """The union of half-open intervals as sorted, disjoint ones."""

    def __init__(self, start: IntArray, end: IntArray) -> None:
        order = np.argsort(start, kind="stable")
        start, end = start[order], np.maximum.accumulate(end[order]) if len(end) else end
        opens = np.ones(len(start), bool)
        opens[1:] = start[1:] > end[:-1]
        first = np.flatnonzero(opens)
        self.start: IntArray = start[first]
        self.end: IntArray = end[np.append(first[1:] - 1, len(end) - 1)] if len(end) else end
        self._before = np.concatenate([[0], np.cumsum(self.end - self.start)])

    def measure(self, start: IntArray, end: IntArray) -> IntArray:
        """How much of each interval [start, end) lies in the union."""
        return self._below(end) - self._below(start)

    def _below(self, place: IntArray) -> IntArray:
        index = np.searchsorted(self.start, place, side="right") - 1
        inside = np.minimum(place, self.end[index]) - self.start[index] if len(self.start) else place * 0
        below: IntArray = np.where(index >= 0, self._before[index] + inside, 0)
        return below


def _best_alternative(need: IntArray, share: FloatArray) -> IntArray:
    return _first_per_group(need, -share)


def _first_per_group(group: IntArray, value: NDArray[np.generic]) -> IntArray:
    """Position of the smallest value of each group (the earliest of equals)."""
    order = np.lexsort((np.arange(len(group)), value, group))
    opens = np.ones(len(group), bool)
    opens[1:] = group[order][1:] != group[order][:-1]
    return order[opens]


def _first_covered(line: _Line, hit_start: IntArray, hit_end: IntArray, wanted: _Union) -> FloatArray:
    """[questions, ranks]: gold characters that no better-ranked hit covers, at the rank that covers them first."""
    gained = np.zeros((line.questions, line.ranks))
    low = np.searchsorted(wanted.end, hit_start, side="right")
    high = np.searchsorted(wanted.start, hit_end, side="left")
    hit, piece = _expand(low, high)
    start = np.maximum(hit_start[hit], wanted.start[piece])
    end = np.minimum(hit_end[hit], wanted.end[piece])
    # cut the covered gold at every end point: inside an elementary piece all hits agree
    points = np.unique(np.concatenate([start, end]))
    pair, element = _expand(np.searchsorted(points, start), np.searchsorted(points, end))
    rank = line.hit_rank[hit[pair]]
    first = _first_per_group(element, rank)
    element, rank = element[first], rank[first]
    np.add.at(gained, (line.question_of(points[element]), rank), points[element + 1] - points[element])
    return gained


def _expand(low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
    """Index pairs (i, j) for every j in [low[i], high[i])."""
    count = np.maximum(high - low, 0)
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(count) - count - low, count)


def _document_ranks(hits: RetrievedSpans) -> IntArray:
    """[questions, ranks]: rank among documents (0 = best) where a document first appears, else -1."""
    same = hits.document[:, :, None] == hits.document[:, None, :]
    again = np.tril(same, k=-1).any(axis=2)
    first = ~again & (hits.document >= 0)
    return np.where(first, np.cumsum(first, axis=1) - 1, -1)


def _ideal_dcg(gold: Gold, k: int) -> FloatArray:
    best = _first_per_group(gold.need, -gold.relevance)
    question, relevance = gold.question[best], gold.relevance[best].astype(float)
    order = np.lexsort((-relevance, question))
    question, relevance = question[order], relevance[order]
    opens = np.ones(len(question), bool)
    opens[1:] = question[1:] != question[:-1]
    starts = np.flatnonzero(opens)
    rank = np.arange(len(question)) - np.repeat(starts, np.diff(np.append(starts, len(question))))
    gain = np.where(rank < k, relevance / np.log2(2 + rank), 0)
    return np.bincount(question, gain, gold.questions).astype(float)
