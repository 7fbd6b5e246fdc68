"""Scoring rankings against evidence: 470 questions x 50 hits."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from rag_opt.metrics.evidence import Gold, RetrievedSpans, score_documents, score_spans

QUESTIONS, RANKS, DOCUMENTS, LENGTH = 470, 50, 60, 30_000


def _median_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(15):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def measure() -> list[tuple[str, str, str]]:
    generator = np.random.default_rng(0)
    document = generator.integers(0, DOCUMENTS, (QUESTIONS, RANKS))
    start = generator.integers(0, LENGTH, (QUESTIONS, RANKS))
    hits = RetrievedSpans(document, start, start + 900)
    # two needs a question, two alternatives each; half of them lie where some hit is
    question = np.repeat(np.arange(QUESTIONS), 4)
    rank = generator.integers(0, RANKS, len(question))
    near = generator.random(len(question)) < 0.5
    where = np.where(near, document[question, rank], generator.integers(0, DOCUMENTS, len(question)))
    begin = np.where(near, start[question, rank] + 300, generator.integers(0, LENGTH, len(question)))
    need = np.arange(len(question)) // 2
    gold = Gold(QUESTIONS, question, need, where, begin, begin + 400, np.ones(len(question), np.int64))
    spans = _median_ms(lambda: score_spans(hits, gold))
    documents = _median_ms(lambda: score_documents(hits, gold, k=10))
    size = f"{QUESTIONS} questions x {RANKS} hits"
    return [
        (f"evidence scoring of {size}, spans", f"{spans:.1f} ms", "at most 20 ms"),
        (f"evidence scoring of {size}, documents", f"{documents:.1f} ms", ""),
    ]
