from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rag_opt.evaluation.intervals import (
    Interval,
    Strata,
    mean_interval,
    mean_intervals,
    paired_gain,
    paired_gains,
)


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=40))
@settings(deadline=None)
def test_with_a_unit_per_question_it_is_the_t_interval(values: list[float]) -> None:
    data = np.array(values)
    ours = mean_interval(data, [str(i) for i in range(len(data))])
    assert ours.error == pytest.approx(stats.sem(data), abs=1e-12)
    if ours.error > 1e-9:
        low, high = stats.t.interval(0.95, len(data) - 1, loc=data.mean(), scale=stats.sem(data))
        assert (ours.low, ours.high) == pytest.approx((low, high))


def test_the_interval_covers_when_questions_of_a_document_move_together() -> None:
    generator = np.random.default_rng(1)
    covered = wrong = 0
    units = [f"d{i // 8}" for i in range(160)]
    for _ in range(400):
        values = np.repeat(generator.normal(size=20), 8) + generator.normal(size=160) * 0.3
        covered += (
            abs(mean_interval(values, units).mean)
            < mean_interval(values, units).high - mean_interval(values, units).mean
        )
        alone = mean_interval(values, [str(i) for i in range(160)])
        wrong += abs(alone.mean) < alone.high - alone.mean
    assert 0.91 < covered / 400 < 0.985
    assert wrong / 400 < 0.75, "ignoring documents would have been far too sure"


def test_missing_scores_are_left_out_and_few_units_say_nothing() -> None:
    one = mean_interval(np.array([1.0, np.nan, 0.0]), ["a", "a", "b"])
    assert one.mean == 0.5
    assert mean_interval(np.array([1.0, 0.0]), ["a", "a"]).high == np.inf
    four, five = (mean_interval(np.ones(n), [str(i) for i in range(n)]) for n in (4, 5))
    assert five.is_above_zero and not four.is_above_zero, "too few clusters to say so"
    assert np.isnan(mean_interval(np.array([np.nan]), ["a"]).mean)
    gain = paired_gain(np.array([1.0, np.nan, 0.5]), np.array([0.5, 0.0, np.nan]), ["a", "b", "c"])
    assert gain.mean == 0.5


def test_intervals_that_hold_at_once_cover_the_best_of_many() -> None:
    """Six columns without any effect: the best-looking one must not look clear more often than 1 in 20."""

    def misses(interval: Interval) -> bool:
        return interval.low > 0 or interval.high < 0

    generator = np.random.default_rng(2)
    units = [f"d{i // 3}" for i in range(90)]
    alone = together = 0
    for _ in range(300):
        common = np.repeat(generator.normal(size=30), 3)
        columns = [common + generator.normal(size=90) for _ in range(6)]
        alone += any(misses(mean_interval(column, units)) for column in columns)
        together += any(misses(interval) for interval in mean_intervals(columns, units))
    assert 0.02 < together / 300 < 0.08
    assert alone / 300 > 0.1, "each alone would have been too sure"


@pytest.mark.parametrize("sizes", [[40, *[2] * 29], [40, *[4] * 9], [5] * 4, [5] * 3])
def test_one_large_document_does_not_pass_for_many(sizes: list[int]) -> None:
    """Six columns without any effect again, with clusters of unequal size, or with few of them."""
    generator = np.random.default_rng(4)
    units = [f"d{i}" for i, size in enumerate(sizes) for _ in range(size)]

    def drawn() -> np.ndarray:
        return np.repeat(generator.normal(size=len(sizes)), sizes) * 0.55 + generator.normal(size=len(units)) * 0.84

    missed = one_missed = 0
    for _ in range(200):
        common = drawn()
        columns = [common + drawn() for _ in range(6)]
        intervals = mean_intervals(columns, units)
        missed += any(interval.low > 0 or interval.high < 0 for interval in intervals)
        alone = mean_interval(columns[0], units)
        one_missed += alone.low > 0 or alone.high < 0
        assert all(interval.high - interval.mean < 20 * interval.error for interval in intervals)
    assert missed / 200 < 0.09 and one_missed / 200 < 0.1


def test_one_column_alone_has_its_own_interval_and_a_constant_one_none() -> None:
    generator = np.random.default_rng(3)
    column, units = generator.normal(size=40), [str(i // 2) for i in range(40)]
    assert mean_intervals([column], units) == (mean_interval(column, units),)
    wide, same = mean_intervals([column, np.zeros(40)], units)
    assert wide == mean_interval(column, units)
    assert (same.mean, same.low, same.high) == (0, 0, 0), "the baseline against itself"
    assert paired_gains([column + 1], column, units)[0].mean == pytest.approx(1)


def test_what_differs_between_documents_counts_as_far_as_the_draw_may_miss_them() -> None:
    generator = np.random.default_rng(5)
    documents = np.repeat(["a", "b", "c"], 20)
    units = [f"{document}#{i // 2}" for i, document in enumerate(documents)]
    column = np.repeat([-1.0, 0.0, 1.0], 20) + generator.normal(size=60) * 0.1
    total = mean_interval(column, units).error
    within = [mean_intervals([column], units, strata=Strata(documents, share))[0].error for share in (1e-9, 0.5, 1.0)]
    assert within[0] == pytest.approx(total, rel=1e-3)
    assert within[2] < total / 5, "documents that were all asked are no sample of documents"
    assert within[1] ** 2 == pytest.approx((within[0] ** 2 + within[2] ** 2) / 2)


def test_documents_with_one_cluster_each_say_nothing_of_what_differs_within_them() -> None:
    column, units = np.random.default_rng(6).normal(size=40), [str(i) for i in range(40)]
    (strict,) = mean_intervals([column], units, strata=Strata(units, 0.4))
    assert strict.error == pytest.approx(mean_interval(column, units).error)


def test_intervals_of_drawn_questions_hold_for_documents_that_were_all_asked() -> None:
    """Two of five questions are drawn from each of five documents, which differ; 400 draws, 95 % intervals."""
    generator = np.random.default_rng(7)
    documents, held, half_widths = np.repeat(list("abcde"), 40), 0, [0.0, 0.0]
    for _ in range(400):
        effects = generator.normal(size=5) * 0.5
        scores = np.repeat(effects, 40) + generator.normal(size=200) * 0.5
        drawn = np.sort(generator.permutation(200)[:80])
        units = [str(i) for i in drawn]
        (interval,) = mean_intervals([scores[drawn]], units, strata=Strata(documents[drawn], 0.4))
        held += interval.low <= effects.mean() <= interval.high
        for position, other in enumerate((interval, mean_interval(scores[drawn], units))):
            half_widths[position] += other.high - other.mean
    assert 0.92 < held / 400 < 0.98
    assert half_widths[0] < half_widths[1]
