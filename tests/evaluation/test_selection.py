"""Who wins, and what is said of it: cheaper ones within the margin, missing scores, clones, few clusters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.evaluation.decision import Decision, Evidence, decide
from rag_opt.evaluation.detectable_gain import describe_smallest_gains, questions_to_tell, smallest_gain
from rag_opt.evaluation.intervals import Interval
from rag_opt.evaluation.selection import (
    Finalist,
    choose,
    find_indistinguishable,
    is_cheaper,
    select_distinct,
)
from rag_opt.evaluation.shrinkage import shrink_gain

UNITS = [str(i) for i in range(200)]


def finalist(number: int, shift: float, cost: float, *, noise: float = 0.01, keeps_guards: bool = True) -> Finalist:
    dice = np.random.default_rng(number)
    drawn = dice.normal(size=200) * noise
    base = np.random.default_rng(99).random(200)
    return Finalist(number, base + shift + drawn - drawn.mean(), (cost,), keeps_guards)


def test_a_much_better_one_wins_whatever_it_costs() -> None:
    choice = choose([finalist(0, 0.0, 100), finalist(1, 0.2, 900)], UNITS, baseline=0)
    assert choice is not None and choice.winner == choice.best == 1


def test_a_cheaper_one_wins_within_the_margin_only_above_the_baseline() -> None:
    baseline, best = finalist(0, 0.0, 500), finalist(1, 0.002, 900, noise=0.1)
    above, below = finalist(2, 0.001, 100, noise=0.1), finalist(2, -0.001, 100, noise=0.1)
    won = choose([baseline, best, above], UNITS, baseline=0)
    assert won is not None and (won.best, won.winner, won.offered) == (1, 2, None)
    offered = choose([baseline, best, below], UNITS, baseline=0)
    assert offered is not None and (offered.winner, offered.offered) == (0, 2), "the baseline is cheaper than the best"
    alone = choose([baseline, below], UNITS, baseline=0)
    assert alone is not None and (alone.winner, alone.offered) == (0, 1)


def test_who_is_below_the_baseline_or_outside_a_guard_cannot_win() -> None:
    worse = choose([finalist(0, 0.0, 900), finalist(1, -0.1, 100)], UNITS, baseline=0)
    assert worse is not None and worse.winner == 0
    outside = choose([finalist(0, 0.0, 900), finalist(1, 0.3, 100, keeps_guards=False)], UNITS, baseline=0)
    assert outside is not None and outside.winner == 0
    assert choose([finalist(1, 0.3, 100, keeps_guards=False)], UNITS, baseline=None) is None


def test_one_context_token_outranks_nothing() -> None:
    assert not is_cheaper((0.0, 999.0), (0.0, 1000.0)) and is_cheaper((0.0, 800.0), (0.0, 1000.0))
    assert is_cheaper((0.0, 1000.0, 50.0), (0.0, 1040.0, 90.0)), "equal in the first costs, cheaper in the next"
    choice = choose([finalist(0, 0.0, 1000), finalist(1, 0.006, 1001, noise=0.1)], UNITS, baseline=0)
    assert choice is not None and choice.winner == 1


def test_a_failure_never_pays() -> None:
    """Six equal pipelines, one of which fails on its four worst questions of 80: it never wins by that."""
    won = 0
    for turn in range(200):
        dice = np.random.default_rng(turn)
        base = dice.random(80)
        columns = [base + dice.normal(size=80) * 0.18 for _ in range(6)]
        columns[3][np.argsort(columns[3])[:4]] = np.nan
        six = [Finalist(i, column, (0.0,)) for i, column in enumerate(columns)]
        choice = choose(six, [str(i) for i in range(80)], baseline=None)
        assert choice is not None
        won += choice.winner == 3
    assert won / 200 < 1 / 6


def test_questions_that_the_objective_does_not_apply_to_are_left_out() -> None:
    columns = [np.array([0.5, np.nan, 0.7]), np.array([0.4, np.nan, 0.9])]
    choice = choose([Finalist(i, c, (0.0,)) for i, c in enumerate(columns)], ["a", "b", "c"], baseline=0)
    assert choice is not None and choice.means == pytest.approx((0.6, 0.65))


def test_finalists_differ() -> None:
    dice = np.random.default_rng(0)
    first, other = dice.random(100), dice.random(100)
    columns = {4: first, 7: first + dice.normal(size=100) * 0.01, 9: other, 11: first.copy()}
    assert select_distinct(columns, count=5) == [4, 9]
    assert select_distinct({1: np.zeros(5), 2: np.zeros(5), 3: np.ones(5)}, count=5) == [1, 3], "without any spread"


def test_all_that_was_tried_is_compared_with_the_winner() -> None:
    dice = np.random.default_rng(1)
    winner = dice.random(100)
    others = {1: winner + dice.normal(size=100) * 0.1, 2: winner - 0.2 + dice.normal(size=100) * 0.1}
    assert find_indistinguishable(winner, others, UNITS[:100]) == (1,)
    assert find_indistinguishable(winner, others, ["one document"] * 100) == (1, 2), "nothing can be told"


def decided(
    gain: float, *, searched: float, questions: int = 40, noise: float = 0.25, units: int = 40, missing: int = 0
) -> Decision:
    """The decision between the baseline and a finalist with these mean gains, held out and in the search."""
    dice = np.random.default_rng(0)

    def gains(mean: float, count: int) -> np.ndarray:
        drawn = dice.normal(size=count) * noise
        return mean + drawn - drawn.mean()

    base = dice.random(60), dice.random(questions)
    held_out = base[1] + gains(gain, questions)
    held_out[:missing] = np.nan
    scores = {0: base[0], 5: base[0] + gains(searched, 60)}
    evidence = Evidence(scores, {0: base[1], 5: held_out}, UNITS[:60], [str(i % units) for i in range(questions)])
    decision = decide(evidence, [Finalist(n, evidence.pooled(n), (0.0,)) for n in (0, 5)], baseline=0)
    assert decision is not None
    return decision


def test_a_verdict_says_what_the_questions_can_tell() -> None:
    assert decided(0.3, searched=0.3).verdict == "clear"
    assert decided(0.3, searched=0.3, units=4).verdict == "undecided", "fewer than five clusters decide nothing"
    few = decided(0.03, searched=0.05)
    assert few.winner == 5 and few.verdict == "undecided" and few.questions_to_tell and few.questions_to_tell > 40
    worse = decided(-0.3, searched=0.02)
    assert worse.winner == 0 and worse.verdict == "baseline stands" and worse.questions_to_tell is None
    lucky = decided(-0.2, searched=0.1, noise=0.9)
    assert lucky.winner == 0 and lucky.verdict == "undecided", "better in the search, and the held-out ones cannot tell"
    assert decided(-0.3, searched=-0.1).verdict == "baseline stands"


def test_a_gain_that_missing_scores_could_undo_is_not_clear() -> None:
    assert decided(0.12, searched=0.2).verdict == "clear"
    assert decided(0.12, searched=0.2, missing=8).verdict == "undecided"


def test_a_finalist_that_could_not_be_scored_breaks_nothing() -> None:
    dice = np.random.default_rng(4)
    base = dice.random(60), dice.random(40)
    scores = {0: base[0], 1: base[0] + 0.1, 2: base[0] + 0.2}
    held_out = {0: base[1], 1: base[1] + dice.normal(size=40) * 0.3, 2: np.full(40, np.nan)}
    evidence = Evidence(scores, held_out, UNITS[:60], UNITS[:40])
    decision = decide(evidence, [Finalist(n, evidence.pooled(n), (0.0,)) for n in (0, 1, 2)], baseline=0)
    assert decision is not None and decision.winner == 1 and np.isfinite(decision.expected_gain)


def test_the_baseline_gives_way_where_it_breaks_a_guard_that_others_keep() -> None:
    dice = np.random.default_rng(5)
    base = dice.random(60), dice.random(40)
    columns = {0: base, 1: (base[0] - 0.01, base[1] - 0.01)}
    evidence = Evidence(
        {n: column[0] for n, column in columns.items()}, {n: column[1] for n, column in columns.items()},
        UNITS[:60], UNITS[:40],
    )  # fmt: skip
    slow, fast = (Finalist(n, evidence.pooled(n), (0.0,), keeps_guards=n == 1) for n in (0, 1))
    decision = decide(evidence, [slow, fast], baseline=0)
    assert decision is not None and decision.winner == 1 and decision.verdict == "undecided"
    outside = Finalist(1, evidence.pooled(1) + 0.3, (0.0,), keeps_guards=False)
    kept_out = decide(evidence, [Finalist(0, evidence.pooled(0), (0.0,)), outside], baseline=0)
    assert kept_out is not None and kept_out.verdict == "baseline stands", "what is outside a guard promises nothing"


def test_equal_finalists_gain_what_all_of_them_gain() -> None:
    dice = np.random.default_rng(3)
    units = [str(i) for i in range(40)]
    reported = []
    for _ in range(300):
        baseline = dice.normal(size=40) * 0.18
        gains = [dice.normal(size=40) * 0.18 - baseline for _ in range(5)]
        picked = int(np.argmax([gain.mean() for gain in gains]))
        searched = [dice.normal(size=60) * 0.25 for _ in range(40)]
        units_searched = [str(i) for i in range(60)]
        reported.append(shrink_gain(gains, picked, units, searched=searched, searched_clusters=units_searched))
    assert abs(float(np.mean(reported))) < 0.012
    far = [np.full(40, 0.3) + dice.normal(size=40) * 0.01, np.full(40, 0.1) + dice.normal(size=40) * 0.01]
    searched = [np.full(60, 0.3), np.full(60, 0.1)]
    kept = shrink_gain(far, 0, units, searched=searched, searched_clusters=[str(i) for i in range(60)])
    assert kept == pytest.approx(0.3, abs=0.01), "a real difference is left alone"


def test_the_smallest_gain_grows_with_the_clusters() -> None:
    alone = smallest_gain(UNITS, correlation=0.8)
    assert alone == pytest.approx(0.035, abs=0.001)
    assert smallest_gain(UNITS[:50], correlation=0.4) == pytest.approx(
        2 * smallest_gain(UNITS, correlation=0.4), rel=0.03
    )
    shared = [str(i // 20) for i in range(200)]
    assert smallest_gain(shared, correlation=0.8) > 1.4 * alone
    assert smallest_gain(UNITS, correlation=0.8, finalists=5) > 1.2 * alone
    assert smallest_gain(["one"] * 300, correlation=0.8) == np.inf
    assert "can show no gain, however large: at least 5 units" in describe_smallest_gains(["one"] * 300, finalists=5)
    assert "200 held-out questions in 200 split units" in describe_smallest_gains(UNITS, finalists=1)


@given(st.floats(0.001, 0.2), st.floats(0.001, 0.5), st.integers(5, 500))
@settings(deadline=None)
def test_more_questions_are_needed_for_less(expected: float, half_width: float, count: int) -> None:
    interval = Interval(expected, half_width / 2, expected - half_width, expected + half_width, count)
    needed = questions_to_tell(interval, count, expected=expected)
    assert needed is not None and needed > count
    assert half_width * (count / needed) ** 0.5 <= max(expected * 1.01, half_width)
    assert questions_to_tell(interval, count, expected=0.0) is None
