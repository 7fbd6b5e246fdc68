"""Rankings against evidence: how spans are scored. NumPy only, no loop over questions.

A sweep scores many rankings of the same candidates at once by `candidates.py`, to the same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray, IntArray
from rag_opt.core.documents import Corpus, Span
from rag_opt.core.questions import LostPassage, PageOfDocument, Question, WholeDocument
from rag_opt.metrics.offset_line import IntervalUnion, OffsetLine, expand_ranges, first_per_group

_WHOLE = 1 << 40  # the end of a document, whatever its length
_NEVER = np.iinfo(np.int64).max  # the rank of what is not in a list


@dataclass(frozen=True)
class RetrievedSpans:
    """Returned spans, [questions, ranks], best first: rows of the corpus (-1: no hit) and offsets in characters."""

    document: IntArray
    start: IntArray
    end: IntArray

    @staticmethod
    def empty(questions: int, ranks: int) -> RetrievedSpans:
        """Return arrays without any hit."""
        return RetrievedSpans(*(np.full((questions, ranks), fill, np.int64) for fill in (-1, 0, 0)))

    def select(self, rows: Sequence[int]) -> RetrievedSpans:
        """Return the hits of some questions."""
        return RetrievedSpans(self.document[rows], self.start[rows], self.end[rows])

    def cut(self, ranks: int) -> RetrievedSpans:
        """Return the first `ranks` ranks."""
        return RetrievedSpans(self.document[:, :ranks], self.start[:, :ranks], self.end[:, :ranks])


@dataclass(frozen=True)
class Gold:
    """All alternatives of all needs, one row each, in the order of the questions.

    `questions`: how many there are. `question` and `document` number them; `need` numbers needs across questions. A
    whole document begins at 0 and ends behind every end.
    """

    questions: int
    question: IntArray
    need: IntArray
    document: IntArray
    start: IntArray
    end: IntArray
    relevance: IntArray


@dataclass(frozen=True)
class SpanScores:
    """Scores per question, in [0, 1]; NaN where the question has no span evidence.

    recall     share of the gold characters that the hits cover together (each need by its best-covered alternative)
    precision  share of the returned characters that lie in any alternative
    iou        covered gold characters over returned or gold characters
    dcg        sum over ranks of the share of gold first covered there, over log2(1 + rank)
    hit        1 if any gold character is returned
    reciprocal_rank  1 / rank of the first hit that covers gold
    last_rank  rank, from 1, of the last hit that covers gold which no better one does; NaN where none covers any
    """

    recall: FloatArray
    precision: FloatArray
    iou: FloatArray
    dcg: FloatArray
    hit: FloatArray
    reciprocal_rank: FloatArray
    last_rank: FloatArray


@dataclass(frozen=True)
class DocumentScores:
    """Scores per question, in [0, 1]: hits collapsed to documents at their best rank. NaN without document evidence.

    `last_rank`: rank, from 1, at which the last need that is satisfied at all is; NaN where none is.
    """

    ndcg: FloatArray
    recall: FloatArray
    reciprocal_rank: FloatArray
    last_rank: FloatArray


def build_span_gold(questions: Sequence[Question], corpus: Corpus) -> Gold:
    """Return the alternatives that are spans. What a reader lost lies in a document that no hit is of."""
    return _build_gold(questions, corpus, (Span, LostPassage))


def build_document_gold(questions: Sequence[Question], corpus: Corpus) -> Gold:
    """Return the alternatives that are whole documents or pages."""
    return _build_gold(questions, corpus, (WholeDocument, PageOfDocument))


def _build_gold(questions: Sequence[Question], corpus: Corpus, kinds: tuple[type, ...]) -> Gold:
    rows: list[tuple[int, int, int, int, int, int]] = []
    need_number, nowhere = 0, len(corpus.ids)
    for number, question in enumerate(questions):
        lost = 0  # characters: what was lost lies one after the other
        for need in question.evidence or ():
            for alternative in need:
                if not isinstance(alternative, kinds):
                    continue
                document = corpus.position.get(alternative.document_id, nowhere)
                if isinstance(alternative, LostPassage):
                    rows.append((number, need_number, nowhere, lost, lost + alternative.characters, 1))
                    lost += alternative.characters
                elif isinstance(alternative, WholeDocument):
                    rows.append((number, need_number, document, 0, _WHOLE, alternative.relevance))
                else:
                    rows.append((number, need_number, document, alternative.start, alternative.end, 1))
            need_number += 1
    columns = np.array(rows, np.int64).reshape(-1, 6).T
    return Gold(len(questions), *columns)


def score_spans(hits: RetrievedSpans, gold: Gold) -> SpanScores:
    """Return the scores of rankings by the characters of gold that they cover."""
    nan = np.full(gold.questions, np.nan)
    if not len(gold.question):
        return SpanScores(nan, nan, nan, nan, nan, nan, nan)
    line = _line_for(hits, gold)
    question, rank = np.nonzero((hits.document >= 0) & (hits.end > hits.start))
    hit_start, hit_end = line.places(
        question, hits.document[question, rank], hits.start[question, rank], hits.end[question, rank]
    )
    returned = IntervalUnion(hit_start, hit_end)
    gold_start, gold_end = line.places(gold.question, gold.document, gold.start, gold.end)

    covered = returned.overlap(gold_start, gold_end)
    chosen = first_per_group(gold.need, -(covered / np.maximum(gold_end - gold_start, 1)))  # the best-covered ones
    wanted = IntervalUnion(gold_start[chosen], gold_end[chosen])
    relevant = IntervalUnion(gold_start, gold_end)

    wanted_size = line.sum_by_question(wanted.start, wanted.end - wanted.start)
    covered_size = line.sum_by_question(wanted.start, returned.overlap(wanted.start, wanted.end))
    relevant_size = line.sum_by_question(relevant.start, returned.overlap(relevant.start, relevant.end))
    returned_size = line.sum_by_question(returned.start, returned.end - returned.start)

    gained = _first_covered(line, hit_start, hit_end, rank, wanted, ranks=hits.document.shape[1])
    has_hit = gained.any(axis=1)
    first_rank = (gained > 0).argmax(axis=1) if gained.size else np.zeros(gold.questions, int)
    last_rank = gained.shape[1] - (gained > 0)[:, ::-1].argmax(axis=1) if gained.size else first_rank
    size = np.maximum(wanted_size, 1)
    dcg = (gained / size[:, None] / np.log2(1 + np.arange(1, gained.shape[1] + 1))).sum(axis=1)

    def known_only(values: FloatArray) -> FloatArray:
        return np.where(wanted_size > 0, values, np.nan)

    return SpanScores(
        recall=known_only(covered_size / size),
        precision=known_only(relevant_size / np.maximum(returned_size, 1)),
        iou=known_only(covered_size / np.maximum(returned_size + wanted_size - covered_size, 1)),
        dcg=known_only(dcg),
        hit=known_only(has_hit.astype(float)),
        reciprocal_rank=known_only(np.where(has_hit, 1.0 / (first_rank + 1), 0.0)),
        last_rank=known_only(np.where(has_hit, last_rank, np.nan)),
    )


def score_documents(hits: RetrievedSpans, gold: Gold, *, k: int) -> DocumentScores:
    """Return nDCG@k (gain = relevance, discount log2(1 + rank)), recall@k and reciprocal rank over documents.

    Of a need with several alternatives the first one returned counts, the others add nothing. A page that is named as
    evidence has the rank of the first hit that touches it, among all hits.
    """
    count = gold.questions
    if not len(gold.question):
        nan = np.full(count, np.nan)
        return DocumentScores(nan, nan, nan, nan)
    gold_rank = _gold_ranks(hits, gold)
    best = first_per_group(gold.need, gold_rank)
    best_rank, best_question = gold_rank[best], gold.question[best]
    relevance = gold.relevance[best].astype(float)
    inside = best_rank < k
    discount = 1 / np.log2(2 + np.where(inside, best_rank, 0))
    needs = np.bincount(gold.question[first_per_group(gold.need, -gold.relevance)], minlength=count)
    dcg = np.bincount(best_question, np.where(inside, relevance * discount, 0), count)
    recall = np.bincount(best_question, inside, count) / np.maximum(needs, 1)
    first = np.full(count, _NEVER)
    np.minimum.at(first, best_question, best_rank)
    returned = first < _NEVER
    last = np.full(count, -1)
    np.maximum.at(last, best_question, np.where(best_rank < _NEVER, best_rank, -1))
    reciprocal = np.where(returned, 1.0 / (np.where(returned, first, 0) + 1), 0.0)
    ideal, known = _ideal_dcg(gold, k), needs > 0
    return DocumentScores(
        ndcg=np.where(known, dcg / np.where(ideal > 0, ideal, 1), np.nan),
        recall=np.where(known, recall, np.nan),
        reciprocal_rank=np.where(known, reciprocal, np.nan),
        last_rank=np.where(known & (last >= 0), last + 1.0, np.nan),
    )


def score_evidence_recall(hits: RetrievedSpans, questions: Sequence[Question], corpus: Corpus) -> FloatArray:
    """Return recall per question: of characters for span evidence, of documents else; NaN without evidence."""
    spans = score_spans(hits, build_span_gold(questions, corpus)).recall
    documents = score_documents(hits, build_document_gold(questions, corpus), k=hits.document.shape[1]).recall
    return np.where(np.isnan(spans), documents, spans)


def _line_for(hits: RetrievedSpans, gold: Gold) -> OffsetLine:
    """Return a line that has room for every hit and every alternative."""
    length = int(max(hits.end.max(initial=0), gold.end.max(initial=0))) + 1
    documents = int(max(hits.document.max(initial=0), gold.document.max(initial=0))) + 1
    return OffsetLine(gold.questions, documents, length)


def _first_covered(
    line: OffsetLine, hit_start: IntArray, hit_end: IntArray, hit_rank: IntArray, wanted: IntervalUnion, *, ranks: int
) -> FloatArray:
    """Return [questions, ranks]: gold characters at the rank of the first hit that covers them."""
    gained = np.zeros((line.questions, ranks))
    low = np.searchsorted(wanted.end, hit_start, side="right")
    high = np.searchsorted(wanted.start, hit_end, side="left")
    hit, interval = expand_ranges(low, high)
    start = np.maximum(hit_start[hit], wanted.start[interval])
    end = np.minimum(hit_end[hit], wanted.end[interval])
    # cut the covered gold at every end point: inside an elementary piece all hits agree
    points = np.unique(np.concatenate([start, end]))
    pair, piece = expand_ranges(np.searchsorted(points, start), np.searchsorted(points, end))
    rank = hit_rank[hit[pair]]
    first = first_per_group(piece, rank)
    piece, rank = piece[first], rank[first]
    np.add.at(gained, (line.question_of(points[piece]), rank), points[piece + 1] - points[piece])
    return gained


def _gold_ranks(hits: RetrievedSpans, gold: Gold) -> IntArray:
    """Return the rank among documents (0 = best) of each alternative's document; _NEVER where it was not returned."""
    rank = _document_ranks(hits)
    documents = int(max(hits.document.max(initial=0), gold.document.max())) + 1
    question = np.arange(gold.questions)[:, None]
    keys = np.where(rank >= 0, question * documents + hits.document, -1).ravel()
    if not len(keys):
        return np.full(len(gold.question), _NEVER)
    order = np.argsort(keys, kind="stable")
    wanted = gold.question * documents + gold.document
    at = np.minimum(np.searchsorted(keys[order], wanted), len(order) - 1)
    ranks: IntArray = np.where(keys[order][at] == wanted, rank.ravel()[order][at], _NEVER)
    pages = np.flatnonzero(gold.end < _WHOLE)
    ranks[pages] = _page_ranks(hits, gold, pages)
    return ranks


def _page_ranks(hits: RetrievedSpans, gold: Gold, rows: IntArray) -> IntArray:
    """Return the rank of the first hit (0 = best) that touches each of some pages; _NEVER where none does."""
    question = gold.question[rows]
    touches = (
        (hits.document[question] == gold.document[rows, None])
        & (hits.start[question] < gold.end[rows, None])
        & (hits.end[question] > gold.start[rows, None])
    )
    return np.where(touches.any(axis=1), touches.argmax(axis=1), _NEVER)


def _document_ranks(hits: RetrievedSpans) -> IntArray:
    """Return [questions, ranks]: rank among documents (0 = best) where a document first appears, else -1."""
    same = hits.document[:, :, None] == hits.document[:, None, :]
    again = np.tril(same, k=-1).any(axis=2)
    first = ~again & (hits.document >= 0)
    return np.where(first, np.cumsum(first, axis=1) - 1, -1)


def _ideal_dcg(gold: Gold, k: int) -> FloatArray:
    """Return [questions]: DCG@k of the best ranking, each need by its most relevant alternative."""
    best = first_per_group(gold.need, -gold.relevance)
    question, relevance = gold.question[best], gold.relevance[best].astype(float)
    order = np.lexsort((-relevance, question))
    question, relevance = question[order], relevance[order]
    is_first = np.ones(len(question), bool)
    is_first[1:] = question[1:] != question[:-1]
    starts = np.flatnonzero(is_first)
    rank = np.arange(len(question)) - np.repeat(starts, np.diff(np.append(starts, len(question))))
    gain = np.where(rank < k, relevance / np.log2(2 + rank), 0)
    return np.bincount(question, gain, gold.questions).astype(float)
