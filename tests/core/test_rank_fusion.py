"""Sums of gains over several lists, and scores scaled within each list."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.core.rank_fusion import sum_gains
from rag_opt.core.ranked_lists import RankedLists, min_max

ranked = st.lists(st.integers(0, 9), unique=True, max_size=6)


def ranked_list(ids: list[int]) -> RankedLists:
    return RankedLists(padded(ids), np.zeros((1, 6), np.float32))


def padded(ids: list[int], depth: int = 6) -> np.ndarray:
    return np.array([ids + [-1] * (depth - len(ids))], np.int32)


@given(ranked, ranked, st.integers(1, 8))
@settings(max_examples=200, deadline=None)
def test_a_fused_list_is_ordered_by_the_sum_of_gains(first: list[int], second: list[int], depth: int) -> None:
    gain = 1.0 / (60 + np.arange(1, 7))[None, :]
    lists = {"a": ranked_list(first), "b": ranked_list(second)}
    fused = sum_gains(lists, {"a": gain, "b": gain}, depth)
    total: dict[int, float] = {}
    for ids in (first, second):
        for rank, chunk in enumerate(ids):
            total[chunk] = total.get(chunk, 0.0) + float(gain[0, rank])
    expected = sorted(total, key=lambda chunk: (-total[chunk], chunk))[:depth]
    assert fused.chunks.shape == (1, depth)
    assert [c for c in fused.chunks[0].tolist() if c >= 0] == expected


@given(st.lists(st.floats(-5, 5, width=32), max_size=6))
def test_min_max_lies_between_0_and_1(scores: list[float]) -> None:
    row = np.array([sorted(scores, reverse=True) + [-np.inf] * (6 - len(scores))], np.float32)
    scaled = min_max(RankedLists(padded(list(range(len(scores)))), row))[0]
    assert (scaled >= 0).all() and (scaled <= 1 + 1e-9).all()
    assert (scaled[len(scores) :] == 0).all()
    if scores:
        assert scaled[0] == 1
