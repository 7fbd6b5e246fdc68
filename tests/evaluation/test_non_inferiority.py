from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_opt.core.errors import BadInput
from rag_opt.evaluation.intervals import MIN_CLUSTERS
from rag_opt.evaluation.non_inferiority import Verdict, compare_scores

UNITS = [f"unit {number}" for number in range(10)]
HALF = np.full(10, 0.5)


def test_equal_scores_are_not_worse() -> None:
    result = compare_scores(HALF, HALF, UNITS)
    assert result.verdict is Verdict.NOT_WORSE and result.is_not_worse
    assert result.describe() == (
        "the challenger is not worse by more than 2.0 points: +0.0 points, 95 % interval [+0.0, +0.0], "
        "over 10 clusters, 10 questions"
    )


def test_the_interval_is_what_one_computes_by_hand() -> None:
    """Five lose 0.02 and five win 0.04: mean 0.01, error 0.01, half-width 2.2622 * 0.01 (t with 9 degrees)."""
    result = compare_scores(HALF + np.tile([-0.02, 0.04], 5), HALF, UNITS)
    assert result.gain.mean == pytest.approx(0.01) and result.gain.error == pytest.approx(0.01)
    assert (result.gain.low, result.gain.high) == pytest.approx((-0.012622, 0.032622), abs=1e-6)
    assert result.verdict is Verdict.NOT_WORSE
    assert compare_scores(HALF + np.tile([-0.02, 0.04], 5), HALF, UNITS, margin=0.0126).verdict is Verdict.UNDECIDED


def test_a_challenger_that_loses_more_than_the_margin_is_worse() -> None:
    lost = HALF - np.tile([0.08, 0.12], 5)
    result = compare_scores(lost, HALF, UNITS)
    assert result.verdict is Verdict.WORSE and not result.is_not_worse
    assert result.describe().startswith(
        "the challenger is worse by more than 2.0 points: -10.0 points, 95 % interval ["
    )
    assert compare_scores(lost, HALF, UNITS, margin=0.15).verdict is Verdict.NOT_WORSE, "the margin decides"


def test_scattered_scores_decide_nothing_although_the_challenger_looks_better() -> None:
    result = compare_scores(HALF + np.tile([-0.4, 0.5], 5), HALF, UNITS)
    assert result.gain.mean > 0 and result.verdict is Verdict.UNDECIDED
    assert result.describe().startswith(
        "undecided whether the challenger is worse by more than 2.0 points: +5.0 points"
    )


def test_few_clusters_decide_nothing_however_clear_the_scores() -> None:
    units = [f"unit {number % (MIN_CLUSTERS - 1)}" for number in range(100)]
    for gain in (0.3, -0.3, 0.0):
        result = compare_scores(np.full(100, 0.5 + gain), np.full(100, 0.5), units)
        assert result.verdict is Verdict.UNDECIDED
        assert "over 4 clusters of questions, and fewer than 5 decide nothing" in result.describe()


def test_questions_without_a_score_are_left_out_and_counted() -> None:
    challenger, champion = HALF.copy(), HALF.copy()
    challenger[0], champion[1] = np.nan, np.nan
    result = compare_scores(challenger, champion, UNITS, asked="held out")
    assert (result.questions, result.left_out, result.gain.clusters) == (8, 2, 8)
    assert result.describe().endswith("8 questions (held out); 2 without a score are left out")
    nothing = compare_scores(np.full(10, np.nan), HALF, UNITS)
    assert nothing.verdict is Verdict.UNDECIDED and "no question has a score from both" in nothing.describe()


@pytest.mark.parametrize("margin", [0.0, -0.02, float("nan"), float("inf")])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(BadInput, match="margin"):
        compare_scores(HALF, HALF, UNITS, margin=margin)


SCORES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 7)), min_size=1, max_size=40)


@given(rows=SCORES, margin=st.floats(0.001, 0.5), shift=st.floats(0, 0.5))
def test_verdicts_follow_the_interval_and_a_better_challenger_never_fares_worse(
    rows: list[tuple[float, float, int]], margin: float, shift: float
) -> None:
    challenger, champion = (np.array([row[side] for row in rows]) for side in (0, 1))
    units = [str(row[2]) for row in rows]
    result = compare_scores(challenger, champion, units, margin=margin)
    if len(set(units)) < MIN_CLUSTERS:
        assert result.verdict is Verdict.UNDECIDED
    else:
        assert result.is_not_worse == (result.gain.low > -margin)
        assert (result.verdict is Verdict.WORSE) == (result.gain.high < -margin)
    order = [Verdict.WORSE, Verdict.UNDECIDED, Verdict.NOT_WORSE]
    better = compare_scores(challenger + shift + 1e-9, champion, units, margin=margin)
    assert order.index(better.verdict) >= order.index(result.verdict)
    swapped = compare_scores(champion, challenger, units, margin=margin)
    assert not (result.verdict is Verdict.WORSE and swapped.verdict is Verdict.WORSE)
    assert result.describe()


def test_a_challenger_worse_by_the_margin_seldom_passes() -> None:
    """At the margin itself the rule lets pass at most about 2.5 in a hundred."""
    random = np.random.default_rng(0)
    units = [f"unit {number // 3}" for number in range(60)]
    passed = 0
    for _ in range(400):
        differences = random.normal(-0.02, 0.05, 60) + np.repeat(random.normal(0, 0.05, 20), 3)
        passed += compare_scores(0.5 + differences, np.full(60, 0.5), units).is_not_worse
    assert passed <= 20
