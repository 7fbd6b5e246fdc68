"""Recall among more documents: what is fitted to a part of simulated documents holds in all of them."""

from __future__ import annotations

import numpy as np
import pytest

from rag_opt.evaluation.growth import Growth, describe_growth, fit_growth


@pytest.mark.parametrize("shape", [0.2, 0.6])
def test_recall_in_ten_times_the_documents_is_near_what_is_predicted(shape: float) -> None:
    random = np.random.default_rng(7)
    expected = random.gamma(shape, 2.0 / shape, 4000)  # of the passages before the evidence, in a tenth
    own = random.integers(0, 2, 4000).astype(float)
    few, many = random.poisson(expected), random.poisson(10 * expected)
    in_list = own + few < 50
    model = fit_growth(np.where(in_list, own, np.nan), np.where(in_list, few, np.nan), k=5, depth=50)
    assert model is not None
    assert abs(model.at(10) - (own + many + 1 <= 5).mean()) < 0.02
    assert model.at(1) == model.recall == (own + few + 1 <= 5).mean()


def test_more_documents_never_help_and_too_few_questions_say_nothing() -> None:
    own, others = np.zeros(30), np.arange(30.0)
    model = fit_growth(own, others, k=5, depth=50)
    assert model is not None
    recalls = [model.at(factor) for factor in (1, 3, 10, 30)]
    assert recalls == sorted(recalls, reverse=True)
    assert fit_growth(own[:5], others[:5], k=5, depth=50) is None
    assert fit_growth(np.full(30, np.nan), np.full(30, np.nan), k=5, depth=50) is None


def test_a_pipeline_that_falls_behind_is_named() -> None:
    ahead = Growth(5, 0.5, 4.0, np.zeros(20), 0.9)
    steady = Growth(5, 0.5, 0.1, np.zeros(20), 0.85)
    assert describe_growth(["trial 1", "trial 2"], [ahead, steady]).endswith("trial 2 would be ahead")
    assert describe_growth(["trial 2", "trial 1"], [steady, ahead]).endswith("trial 2 would be ahead")
