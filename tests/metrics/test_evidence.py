"""Span scores against their definitions, document scores against ir_measures."""

from __future__ import annotations

import ir_measures
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, R, nDCG

from rag_opt.core.documents import Corpus, Document, Span
from rag_opt.core.questions import Need, Question, WholeDocument
from rag_opt.metrics.evidence import RetrievedSpans, build_document_gold, build_span_gold, score_documents, score_spans

LENGTH = 60
CORPUS = Corpus(tuple(Document(f"d{i}", "x" * LENGTH) for i in range(4)))


@st.composite
def spans(draw: st.DrawFn) -> Span:
    start = draw(st.integers(0, LENGTH - 1))
    return Span(f"d{draw(st.integers(0, 3))}", start, draw(st.integers(start + 1, LENGTH)))


needs = st.lists(st.lists(spans(), min_size=1, max_size=3).map(tuple), max_size=3)
rankings = st.lists(spans(), max_size=6)


def as_hits(lists: list[list[Span]]) -> RetrievedSpans:
    hits = RetrievedSpans.empty(len(lists), max((len(one) for one in lists), default=0) or 1)
    for row, ranking in enumerate(lists):
        for rank, span in enumerate(ranking):
            hits.document[row, rank] = CORPUS.position[span.document_id]
            hits.start[row, rank], hits.end[row, rank] = span.start, span.end
    return hits


def characters(span: Span) -> set[tuple[str, int]]:
    return {(span.document_id, i) for i in range(span.start, span.end)}


def by_hand(ranking: list[Span], evidence: list[Need]) -> tuple[float, ...]:
    """The definitions of `SpanScores`, on sets of characters."""
    returned = set().union(*map(characters, ranking))
    wanted: set[tuple[str, int]] = set()
    for need in evidence:
        shares = [len(characters(one) & returned) / len(characters(one)) for one in need]  # type: ignore[arg-type]
        wanted |= characters(need[int(np.argmax(shares))])  # type: ignore[arg-type]
    anything = set().union(*(characters(one) for need in evidence for one in need))  # type: ignore[arg-type]
    seen: set[tuple[str, int]] = set()
    dcg, first = 0.0, 0
    for rank, hit in enumerate(ranking, start=1):
        new = (characters(hit) & wanted) - seen
        if new and not first:
            first = rank
        seen |= new
        dcg += len(new) / len(wanted) / np.log2(1 + rank)
    covered = len(wanted & returned)
    return (
        covered / len(wanted),
        len(anything & returned) / len(returned) if returned else 0.0,
        covered / len(wanted | returned),
        dcg,
        float(first > 0),
        1 / first if first else 0.0,
    )


@given(st.lists(st.tuples(needs, rankings), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_span_scores_are_what_their_definitions_say(asked: list[tuple[list[Need], list[Span]]]) -> None:
    questions = [Question(str(i), "?", evidence=tuple(needs) or None) for i, (needs, _) in enumerate(asked)]
    scores = score_spans(as_hits([ranking for _, ranking in asked]), build_span_gold(questions, CORPUS))
    columns = (scores.recall, scores.precision, scores.iou, scores.dcg, scores.hit, scores.reciprocal_rank)
    for row, (evidence, ranking) in enumerate(asked):
        got = [column[row] for column in columns]
        if evidence:
            np.testing.assert_allclose(got, by_hand(ranking, evidence), atol=1e-12)
        else:
            assert np.isnan(got).all()


def test_a_twin_passage_is_not_a_miss() -> None:
    need = (Span("d0", 0, 10), Span("d1", 20, 30))
    scores = score_spans(
        as_hits([[Span("d1", 20, 30)]]), build_span_gold([Question("q", "?", evidence=(need,))], CORPUS)
    )
    assert scores.recall[0] == scores.precision[0] == scores.iou[0] == scores.dcg[0] == 1


@given(
    st.lists(st.dictionaries(st.integers(0, 3), st.integers(1, 3), min_size=1), min_size=1, max_size=3),
    st.lists(rankings, min_size=3, max_size=3),
    st.integers(1, 5),
)
@settings(max_examples=150, deadline=None)
def test_document_scores_equal_ir_measures(gold: list[dict[int, int]], lists: list[list[Span]], k: int) -> None:
    questions = [
        Question(str(i), "?", evidence=tuple((WholeDocument(f"d{d}", grade),) for d, grade in one.items()))
        for i, one in enumerate(gold)
    ]
    scores = score_documents(as_hits(lists[: len(gold)]), build_document_gold(questions, CORPUS), k=k)
    qrels = [ir_measures.Qrel(str(i), f"d{d}", grade) for i, one in enumerate(gold) for d, grade in one.items()]
    run = []
    for i, ranking in enumerate(lists[: len(gold)]):
        documents = list(dict.fromkeys(span.document_id for span in ranking))
        run += [ir_measures.ScoredDoc(str(i), d, float(-rank)) for rank, d in enumerate(documents)]
    expected = {(m.query_id, str(m.measure)): m.value for m in ir_measures.iter_calc([nDCG @ k, R @ k, RR], qrels, run)}
    for i in range(len(gold)):
        ours = (scores.ndcg[i], scores.recall[i], scores.reciprocal_rank[i])
        theirs = tuple(expected.get((str(i), name), 0.0) for name in (f"nDCG@{k}", f"R@{k}", "RR"))
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
