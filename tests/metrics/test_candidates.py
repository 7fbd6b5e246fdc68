"""The array pass of a sweep against the scoring and the fusion that every trial goes through."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.core.documents import Corpus, Document, Span
from rag_opt.core.questions import Question, WholeDocument
from rag_opt.core.rank_fusion import sum_gains
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import kinds
from rag_opt.metrics.candidates import CandidatePool, EvidenceFound
from rag_opt.metrics.evidence import RetrievedSpans, build_document_gold, build_span_gold, score_documents, score_spans

DOCUMENTS = 3
CORPUS = Corpus(tuple(Document(f"d{i}", "x" * 400) for i in range(DOCUMENTS)))


Table = tuple[np.ndarray, np.ndarray, np.ndarray]


def case(seed: int, *, questions: int = 6, chunks: int = 25, depth: int = 9) -> tuple[dict[str, RankedLists], Table]:
    """Two random lists a question, and a table of chunks that overlap one another."""
    dice = np.random.default_rng(seed)
    lists = {}
    for name in ("dense", "lexical"):
        ids = np.stack([dice.permutation(chunks)[:depth] for _ in range(questions)]).astype(np.int32)
        gone = np.arange(depth) >= dice.integers(0, depth + 1, questions)[:, None]
        scores = -np.sort(-dice.random((questions, depth)), axis=1).astype(np.float32)
        lists[name] = RankedLists(
            np.where(gone, -1, ids).astype(np.int32), np.where(gone, -np.inf, scores).astype(np.float32)
        )
    start = dice.integers(0, 350, chunks)
    table = (dice.integers(0, DOCUMENTS, chunks), start, start + dice.integers(1, 50, chunks))
    return lists, table


def asked(seed: int, count: int = 6, *, alternatives: int) -> list[Question]:
    """Needs of one question lie in different thirds of the documents, so that they never overlap."""
    dice = np.random.default_rng(seed)
    made = []
    for number in range(count):
        needs = []
        for third in range(int(dice.integers(0, 4))):
            spans = []
            for _ in range(int(dice.integers(1, alternatives + 1))):
                start = int(dice.integers(0, 90)) + 130 * third
                spans.append(Span(f"d{dice.integers(0, DOCUMENTS)}", start, start + int(dice.integers(1, 40))))
            needs.append(tuple(dict.fromkeys(spans)))
        made.append(Question(f"q{number}", "?", evidence=tuple(needs) or None))
    return made


@given(st.integers(0, 10_000), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_recall_at_every_rank_is_what_a_trial_would_score(seed: int, alternatives: int) -> None:
    lists, (document, start, end) = case(seed)
    questions = asked(seed + 1, alternatives=alternatives)
    gold = build_span_gold(questions, CORPUS)
    pool = CandidatePool.from_lists(lists)
    coverage = EvidenceFound.from_pool(
        pool, document, start, end, spans=gold, documents=build_document_gold(questions, CORPUS)
    )
    parts = [kinds("retriever")["weighted"](depth=9, weight=w) for w in (0.1, 0.3, 0.9)]
    parts += [kinds("retriever")["rrf"](depth=9, k=k) for k in (0, 60)]
    (block,) = pool.rank([part.gains(lists) for part in parts], 5)
    recall = coverage.recall(block[1])
    for number, part in enumerate(parts):
        fused = part.fuse(lists).cut(5)
        places = block[1][number]
        chosen = np.where(places >= 0, np.take_along_axis(pool.chunks, np.maximum(places, 0), 1), -1)
        np.testing.assert_array_equal(chosen, fused.chunks[:, : chosen.shape[1]])
        kept = fused.chunks >= 0
        columns = [
            np.where(kept, column[fused.chunks], fill) for column, fill in ((document, -1), (start, 0), (end, 0))
        ]
        for k in range(1, chosen.shape[1] + 1):
            expected = score_spans(RetrievedSpans(*columns).cut(k), gold).recall
            np.testing.assert_allclose(recall[number, :, k - 1], expected, atol=1e-5)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 1.0]))
@settings(max_examples=30, deadline=None)
def test_where_one_list_counts_nothing_the_sums_are_the_same(seed: int, weight: float) -> None:
    """There many sums are equal, and which of the equal ones comes first is not promised."""
    lists, _ = case(seed)
    part, pool = kinds("retriever")["weighted"](depth=9, weight=weight), CandidatePool.from_lists(lists)
    ((_, order),) = pool.rank([part.gains(lists)], 5)
    fused = part.fuse(lists).cut(5)
    sums = {(row, c): s for row in range(6) for c, s in zip(*(a[row].tolist() for a in _all(part, lists)), strict=True)}
    for row, places in enumerate(order[0]):
        ours = [sums[row, int(pool.chunks[row, place])] for place in places if place >= 0]
        np.testing.assert_allclose(ours, fused.scores[row][fused.chunks[row] >= 0], atol=1e-6)


def _all(part: Any, lists: dict[str, RankedLists]) -> tuple[np.ndarray, np.ndarray]:
    whole = sum_gains(lists, part.gains(lists), 18)
    return whole.chunks, whole.scores


def test_a_document_named_as_evidence_is_covered_by_any_chunk_of_it() -> None:
    lists, (document, start, end) = case(3)
    questions = [
        Question(f"q{i}", "?", evidence=((WholeDocument(f"d{i % 3}"),), (WholeDocument("d0"),))) for i in range(6)
    ]
    gold = build_document_gold(questions, CORPUS)
    pool = CandidatePool.from_lists(lists)
    coverage = EvidenceFound.from_pool(
        pool, document, start, end, spans=build_span_gold(questions, CORPUS), documents=gold
    )
    part = kinds("retriever")["dense"](depth=9)
    ((_, order),) = pool.rank([part.gains(lists)], 9)
    fused = lists["dense"]
    hits = RetrievedSpans(
        np.where(fused.chunks >= 0, document[fused.chunks], -1), start[fused.chunks], end[fused.chunks]
    )
    expected = score_documents(hits, gold, k=9).recall
    np.testing.assert_allclose(coverage.recall(order)[0, :, -1], expected, atol=1e-6)


def test_more_than_64_pieces_of_evidence() -> None:
    count = 150
    lists = {"dense": RankedLists(np.arange(count, dtype=np.int32)[None], -np.arange(count, dtype=np.float32)[None])}
    start = np.arange(count) * 2
    document = np.zeros(count, int)
    questions = [Question("q", "?", evidence=((Span("d0", 0, 300),),))]
    pool = CandidatePool.from_lists(lists)
    coverage = EvidenceFound.from_pool(
        pool,
        document,
        start,
        start + 2,
        spans=build_span_gold(questions, CORPUS),
        documents=build_document_gold(questions, CORPUS),
    )
    ((_, order),) = pool.rank([{"dense": lists["dense"].scores.astype(float)}], count)
    np.testing.assert_allclose(coverage.recall(order)[0, 0], np.arange(1, count + 1) / count, atol=1e-5)


def test_questions_without_evidence_have_no_recall() -> None:
    lists, (document, start, end) = case(4)
    questions = [Question(f"q{i}", "?", answerable=False) for i in range(6)]
    pool = CandidatePool.from_lists(lists)
    gold = build_span_gold(questions, CORPUS), build_document_gold(questions, CORPUS)
    coverage = EvidenceFound.from_pool(pool, document, start, end, spans=gold[0], documents=gold[1])
    ((_, order),) = pool.rank([kinds("retriever")["dense"]().gains(lists)], 3)
    assert np.isnan(coverage.recall(order)).all()


def test_a_pool_that_holds_nothing() -> None:
    empty = RankedLists(np.full((2, 4), -1, np.int32), np.full((2, 4), -np.inf, np.float32))
    pool = CandidatePool.from_lists({"dense": empty, "lexical": empty})
    ((_, order),) = pool.rank(
        [kinds("retriever")["rrf"](depth=4, top_k=3).gains({"dense": empty, "lexical": empty})], 3
    )
    assert (order == -1).all()
    assert (sum_gains({"dense": empty}, {"dense": empty.scores.astype(float)}, 4).chunks == -1).all()
