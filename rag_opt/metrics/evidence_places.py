"""Where the evidence of each question got to: cut apart, not retrieved, retrieved too low, in the context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.documents import Corpus
from rag_opt.core.questions import LostPassage, Question
from rag_opt.core.ranked_lists import ChunkColumns
from rag_opt.metrics.evidence import (
    Gold,
    RetrievedSpans,
    build_document_gold,
    build_span_gold,
    score_documents,
    score_spans,
)
from rag_opt.metrics.offset_line import expand_ranges


@dataclass(frozen=True)
class EvidencePlaces:
    """Per question, NaN without evidence; shares in [0, 1] of characters (span evidence) or of needs (documents).

    in_context    share that lies in the passages which the answer is made from
    in_list       share that lies in the whole ranked list, before it is cut and packed
    list_rank     rank, from 1, by which the list has all of it that it has; NaN where it has none
    others_before  hits of documents without evidence that stand before that rank
    in_one_chunk  mean over needs of the share that a single chunk holds: less than 1 where the chunker cut it apart
    lost          share of the needs that the reader lost
    """

    in_context: FloatArray
    in_list: FloatArray
    list_rank: FloatArray
    others_before: FloatArray
    in_one_chunk: FloatArray
    lost: FloatArray


def locate_evidence(
    hits: RetrievedSpans, ranked: RetrievedSpans, chunks: ChunkColumns, questions: Sequence[Question], corpus: Corpus
) -> EvidencePlaces:
    """Return where the evidence got to. `hits` reached the context; `ranked` is the list that they were taken from."""
    gold, documents = build_span_gold(questions, corpus), build_document_gold(questions, corpus)
    context, whole = score_spans(hits, gold), score_spans(ranked, gold)
    context_documents = score_documents(hits, documents, k=hits.document.shape[1])
    whole_documents = score_documents(ranked, documents, k=ranked.document.shape[1])
    has_spans = ~np.isnan(context.recall)
    list_rank = np.where(has_spans, whole.last_rank, whole_documents.last_rank)
    known = has_spans | ~np.isnan(context_documents.recall)
    return EvidencePlaces(
        in_context=np.where(has_spans, context.recall, context_documents.recall),
        in_list=np.where(has_spans, whole.recall, whole_documents.recall),
        list_rank=list_rank,
        others_before=_count_others(ranked, list_rank, questions, corpus),
        in_one_chunk=np.where(has_spans, _share_in_one_chunk(gold, chunks), np.where(known, 1.0, np.nan)),
        lost=np.where(known, [_lost_share(question) for question in questions], np.nan),
    )


def _count_others(
    ranked: RetrievedSpans, list_rank: FloatArray, questions: Sequence[Question], corpus: Corpus
) -> FloatArray:
    """Return how many hits before a rank are of documents that hold no evidence of the question."""
    own = [[corpus.position.get(name, -1) for name in question.document_ids] for question in questions]
    width = max(map(len, own), default=0)
    documents = np.array([one + [-1] * (width - len(one)) for one in own], np.int64).reshape(len(own), width)
    is_other = (ranked.document >= 0) & (ranked.document[:, :, None] != documents[:, None, :]).all(axis=2)
    before = np.arange(1, ranked.document.shape[1] + 1) < np.nan_to_num(list_rank)[:, None]
    return np.where(np.isnan(list_rank), np.nan, (is_other & before).sum(axis=1))


def _share_in_one_chunk(gold: Gold, chunks: ChunkColumns) -> FloatArray:
    """Return per question the mean over its needs of the largest share of an alternative that one chunk holds."""
    length = int(max(chunks.end.max(initial=0), gold.end.max(initial=0))) + 1
    start = chunks.document.astype(np.int64) * length + chunks.start
    end = start + (chunks.end - chunks.start)
    wanted_start, wanted_end = gold.document * length + gold.start, gold.document * length + gold.end
    longest = int((end - start).max(initial=0))
    low, high = np.searchsorted(start, wanted_start - longest), np.searchsorted(start, wanted_end)
    row, chunk = expand_ranges(low, high)
    shared = np.minimum(end[chunk], wanted_end[row]) - np.maximum(start[chunk], wanted_start[row])
    best = np.zeros(len(gold.question))
    np.maximum.at(best, row, shared / np.maximum(gold.end - gold.start, 1)[row])
    needs, position = np.unique(gold.need, return_inverse=True)
    by_need, question = np.zeros(len(needs)), np.zeros(len(needs), np.int64)
    np.maximum.at(by_need, position, best)
    question[position] = gold.question
    counts = np.bincount(question, minlength=gold.questions)
    return np.where(counts > 0, np.bincount(question, by_need, gold.questions) / np.maximum(counts, 1), np.nan)


def _lost_share(question: Question) -> float:
    needs = question.evidence or ()
    lost = sum(all(isinstance(one, LostPassage) for one in need) for need in needs)
    return lost / len(needs) if needs else 0.0
