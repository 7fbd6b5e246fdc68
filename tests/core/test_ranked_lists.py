"""Ranked lists of scores of all chunks."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from rag_opt.core.ranked_lists import RankedLists

_SCORES = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), max_size=12)


@given(_SCORES, st.integers(1, 15), st.none() | st.sets(st.integers(0, 11)))
def test_the_best_of_all_scores_are_listed_and_of_equal_ones_the_first(
    scores: list[float], depth: int, among: set[int] | None
) -> None:
    allowed = None if among is None else np.array(sorted(one for one in among if one < len(scores)), np.int32)
    lists = RankedLists.of_scores([np.array(scores, np.float32)], depth, allowed=allowed)
    able = range(len(scores)) if allowed is None else allowed.tolist()
    right = sorted((one for one in able if scores[one] > 0), key=lambda one: (-scores[one], one))[:depth]
    assert lists.chunks[0].tolist() == right + [-1] * (depth - len(right))
    assert lists.scores[0, : len(right)].tolist() == [scores[one] for one in right]
