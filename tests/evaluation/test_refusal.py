from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from rag_opt.evaluation.refusal import measure_auc

scores = st.lists(st.integers(0, 9), min_size=2, max_size=40)


@given(scores, scores)
@settings(deadline=None)
def test_the_area_is_that_of_scikit_learn(positive: list[int], negative: list[int]) -> None:
    found = measure_auc(np.array(positive, float), np.array(negative, float))
    assert found is not None
    labels = [1] * len(positive) + [0] * len(negative)
    assert found[0] == pytest.approx(roc_auc_score(labels, [*positive, *negative]))
    assert 0 <= found[1] <= found[0] <= found[2] <= 1


def test_the_interval_holds_the_true_area() -> None:
    """Normal samples one deviation apart: the area is Phi(1 / sqrt(2)) = 0.760."""
    held = 0
    for turn in range(300):
        dice = np.random.default_rng(turn)
        found = measure_auc(dice.normal(1, 1, 60), dice.normal(0, 1, 25))
        assert found is not None
        held += found[1] <= 0.7602 <= found[2]
    assert 0.9 < held / 300 < 0.98
    assert measure_auc(np.ones(1), np.zeros(9)) is None
