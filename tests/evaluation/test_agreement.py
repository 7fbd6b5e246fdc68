"""Agreement of a judge with people, and how far planted instructions move it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.evaluation import agreement
from rag_opt.evaluation.agreement import INJECTIONS, measure_agreement, measure_shift, plant_injection


@pytest.fixture(autouse=True, scope="module")
def fewer_resamples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement, "_RESAMPLES", 100)  # a second less for each agreement
        yield


def test_agreement_is_perfect_reversed_or_by_chance() -> None:
    people = np.array([0.0, 1.0] * 30)
    same, other = measure_agreement(people, people), measure_agreement(1 - people, people)
    assert (same.kappa.value, same.spearman.value, same.items) == (pytest.approx(1), pytest.approx(1), 60)
    assert (other.kappa.value, other.spearman.value) == (pytest.approx(-1), pytest.approx(-1))
    chance = measure_agreement(np.random.default_rng(0).random(60), people)
    assert abs(chance.kappa.value) < 0.4 and chance.kappa.low < 0 < chance.kappa.high


def test_kappa_is_that_of_cohens_table() -> None:
    """Cohen (1960) on a table of 2 x 2: 20 and 15 agreed, 5 and 10 not: (0.7 - 0.5) / (1 - 0.5)."""
    ours = np.array([1.0] * 20 + [1.0] * 5 + [0.0] * 10 + [0.0] * 15)
    theirs = np.array([1.0] * 20 + [0.0] * 5 + [1.0] * 10 + [0.0] * 15)
    assert measure_agreement(ours, theirs).kappa.value == pytest.approx(0.4)


def test_unjudged_items_are_left_out_and_too_few_items_give_no_estimate() -> None:
    found = measure_agreement(np.array([np.nan, 1.0, 0.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0, 1.0, 0.0]))
    assert found.items == 4 and found.kappa.value == 1
    assert str(measure_agreement(np.array([1.0, 0.0]), np.array([1.0, 0.0])).kappa) == "not known"
    assert str(measure_agreement(np.ones(20), np.array([0.0, 1.0] * 10)).spearman) == "not known", (
        "one value has no rank"
    )


@given(st.integers(10, 60), st.integers(0, 1000))
@settings(max_examples=4, deadline=None)
def test_the_interval_holds_the_value(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    people = random.integers(0, 2, count).astype(float)
    found = measure_agreement(np.clip(people + random.normal(0, 0.4, count), 0, 1), people).spearman
    if np.isfinite(found.value):
        assert found.low <= found.value + 0.1 and found.high >= found.value - 0.1


def test_injections_are_planted_where_they_can_be_and_shifts_are_measured_in_points() -> None:
    sample = {"user_input": "?", "response": "It is so.", "retrieved_contexts": ["So it is."]}
    assert plant_injection(sample, INJECTIONS[0], "answer") == {**sample, "response": f"It is so. {INJECTIONS[0]}"}
    assert plant_injection(sample, INJECTIONS[0], "passage") == {
        **sample,
        "retrieved_contexts": ["So it is.", INJECTIONS[0]],
    }
    assert plant_injection({"user_input": "?", "response": "x"}, INJECTIONS[0], "passage") is None
    shift = measure_shift([0.2, 0.5, np.nan, 1.0], [1.0, 0.5, 1.0, 0.5])
    assert (shift.mean, shift.largest, shift.judged) == (pytest.approx(10), pytest.approx(80), 3)
    assert shift.moved == pytest.approx(1 / 3)
    assert measure_shift([0.2], [1.0], sign=-1).mean == pytest.approx(-80)
