"""What a search may say at its end: who wins, what is gained over the baseline, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.data.splits import Split
from rag_opt.evaluation.detectable_gain import questions_to_tell
from rag_opt.evaluation.intervals import MIN_CLUSTERS, Interval, Strata, paired_gain, paired_gains
from rag_opt.evaluation.selection import Finalist, choose, fill_missing, find_indistinguishable
from rag_opt.evaluation.shrinkage import shrink_gain

Verdict = Literal["clear", "undecided", "baseline stands", "no baseline"]


@dataclass(frozen=True)
class Evidence:
    """Scores of the tried pipelines per question, higher is better, NaN where there is none.

    `search` of all that may be compared, by trial; `held_out` of the finalists and the baseline, by trial (empty where
    no questions were held out). The clusters of the questions, in their order. `strata` of the questions that a gain
    is measured on, where the claim is about these documents.
    """

    search: Mapping[int, FloatArray]
    held_out: Mapping[int, FloatArray]
    search_clusters: Sequence[str]
    held_out_clusters: Sequence[str]
    strata: Strata | None = None

    def pooled(self, number: int) -> FloatArray:
        """Return the scores of a finalist on all questions, those of the search first."""
        return np.concatenate([self.search[number], self.held_out.get(number, np.empty(0))])

    @property
    def clusters(self) -> list[str]:
        """Clusters of the questions that finalists were asked, those of the search first."""
        return [*self.search_clusters, *(self.held_out_clusters if self.held_out else ())]

    def judged(self, number: int) -> FloatArray:
        """Return the scores that a gain is measured on: the held-out ones, or those of the search without any."""
        return self.held_out[number] if self.held_out else self.search[number]

    @property
    def judged_clusters(self) -> Sequence[str]:
        """Clusters of the questions that a gain is measured on."""
        return self.held_out_clusters if self.held_out else self.search_clusters


def find_strata(split: Split, *, held_out: bool) -> Strata | None:
    """Return the documents of the questions that a gain is measured on; None where they are the clusters themselves.

    `held_out`: whether it is measured on the held-out questions, or else on those of the search.
    """
    if split.unit_kind == "documents":
        return None
    positions = split.held_out if held_out else split.search
    return Strata([split.documents[i] for i in positions], len(positions) / len(split.units))


@dataclass(frozen=True)
class Decision:
    """The winner and what may be said of it; trials by number.

    `best`: the finalist with the best pooled mean; where the winner is another one, it is cheaper and within `margin`
    of it. `offered`: a cheaper one within the margin that was not chosen. `means`: pooled means of the finalists.
    `gain`: on the held-out questions, with an interval that holds for all finalists at once.
    `expected_gain`: the same, drawn towards the mean gain of all finalists, so that it does not flatter the one that
    was picked. `indistinguishable`: of all tried pipelines those that cannot be told to be worse than the winner.
    `questions_to_tell`: how many held-out questions would show the expected gain, where these do not.
    """

    winner: int
    best: int
    baseline: int | None
    verdict: Verdict
    means: Mapping[int, float]
    margin: float
    offered: int | None
    gain: Interval
    expected_gain: float
    indistinguishable: tuple[int, ...]
    questions_to_tell: int | None


def decide(evidence: Evidence, finalists: Sequence[Finalist], *, baseline: int | None) -> Decision | None:
    """Return the decision among the finalists (the baseline is one of them, if it could be evaluated).

    None where nobody may win. `finalists`: with their pooled scores. A `baseline` that is none of them stands beside:
    gains are over it, and it cannot win.
    """
    numbers = [finalist.number for finalist in finalists]
    position = numbers.index(baseline) if baseline in numbers else None
    floor = position if position is not None and finalists[position].keeps_guards else None
    beside = evidence.pooled(baseline) if baseline is not None and baseline not in numbers else None
    choice = choose(finalists, evidence.clusters, baseline=floor, beside=beside)
    if choice is None:
        return None
    winner, means = numbers[choice.winner], dict(zip(numbers, choice.means, strict=True))
    others = [number for number in numbers if number != baseline]
    gains = _find_gains(evidence, others, baseline)
    expected = _estimate_gain(evidence, others, winner, baseline)
    eligible = [finalist.number for finalist in finalists if finalist.keeps_guards and finalist.number != baseline]
    verdict = _judge(evidence, eligible, winner, baseline, gains, choice.margin, beside=beside is not None)
    return Decision(
        winner=winner,
        best=numbers[choice.best],
        baseline=baseline,
        verdict=verdict,
        means=means,
        margin=choice.margin,
        offered=numbers[choice.offered] if choice.offered is not None else None,
        gain=gains[winner] if winner in gains else _no_gain(evidence, baseline),
        expected_gain=expected,
        indistinguishable=_find_indistinguishable(
            evidence,
            winner,
            without={finalist.number for finalist in finalists if not finalist.keeps_guards}
            | ({baseline} if baseline is not None and beside is not None else set()),
        ),
        questions_to_tell=(
            _count_questions_to_tell(evidence, eligible, winner, baseline, gains, max(expected, choice.margin))
            if verdict == "undecided"
            else None
        ),
    )


def _find_gains(evidence: Evidence, others: Sequence[int], baseline: int | None) -> dict[int, Interval]:
    """Return the gains over the baseline, with intervals that hold for all of them at once; none without a baseline."""
    if baseline is None or not others:
        return {}
    columns = [evidence.judged(number) for number in others]
    intervals = paired_gains(columns, evidence.judged(baseline), evidence.judged_clusters, strata=evidence.strata)
    return dict(zip(others, intervals, strict=True))


def _no_gain(evidence: Evidence, baseline: int | None) -> Interval:
    """Return the gain of the baseline over itself; an unknown one without a baseline."""
    if baseline is None:
        return Interval(np.nan, np.inf, -np.inf, np.inf)
    scores = evidence.judged(baseline)
    return paired_gain(scores, scores, evidence.judged_clusters)


def _estimate_gain(evidence: Evidence, others: Sequence[int], winner: int, baseline: int | None) -> float:
    """Return the winner's gain without what picking it added; NaN without a baseline."""
    if baseline is None:
        return float("nan")
    if winner == baseline:
        return 0.0
    return shrink_gain(
        [evidence.judged(number) - evidence.judged(baseline) for number in others],
        others.index(winner),
        evidence.judged_clusters,
        searched=[scores - evidence.search[baseline] for n, scores in evidence.search.items() if n != baseline],
        searched_clusters=evidence.search_clusters,
    )


def _judge(
    evidence: Evidence,
    others: Sequence[int],
    winner: int,
    baseline: int | None,
    gains: Mapping[int, Interval],
    margin: float,
    *,
    beside: bool,
) -> Verdict:
    """Return the verdict: clear only with held-out questions that show the gain, whatever scores are missing.

    `beside`: the baseline is none of the finalists, and stands where the winner is surely worse.
    """
    if baseline is None:
        return "no baseline"
    if winner == baseline:
        promising = _find_promising(evidence, others, baseline)
        return "undecided" if promising is not None and gains[promising].high > margin else "baseline stands"
    if beside and gains[winner].high < 0 and gains[winner].clusters >= MIN_CLUSTERS:
        return "baseline stands"
    if not evidence.held_out or not gains[winner].is_above_zero:
        return "undecided"
    # a score that the winner lacks counts as the worst there is; a question that the baseline lacks says nothing
    ours, theirs = evidence.judged(winner), evidence.judged(baseline)
    filled, _ = fill_missing([ours, theirs])
    counted = float(np.nanmean(filled - theirs))
    return "clear" if counted > gains[winner].mean - gains[winner].low else "undecided"


def _find_promising(evidence: Evidence, others: Sequence[int], baseline: int) -> int | None:
    """Return the finalist that was best in the search, if it was better there than the baseline."""
    best = max(others, key=lambda number: float(np.nanmean(evidence.search[number])), default=baseline)
    better = float(np.nanmean(evidence.search[best])) > float(np.nanmean(evidence.search[baseline]))
    return best if better else None


def _count_questions_to_tell(
    evidence: Evidence,
    others: Sequence[int],
    winner: int,
    baseline: int | None,
    gains: Mapping[int, Interval],
    hoped: float,
) -> int | None:
    subject = _find_promising(evidence, others, baseline) if winner == baseline and baseline is not None else winner
    if subject is None or subject not in gains:
        return None
    return questions_to_tell(gains[subject], len(evidence.judged_clusters), expected=hoped)


def _find_indistinguishable(evidence: Evidence, winner: int, *, without: set[int]) -> tuple[int, ...]:
    """Return the tried pipelines that cannot be told from the winner.

    Finalists are compared over all questions, others over those of the search.
    """
    nothing = np.full(len(evidence.clusters) - len(evidence.search_clusters), np.nan)  # was asked no more than that
    others = {
        number: evidence.pooled(number) if number in evidence.held_out else np.concatenate([scores, nothing])
        for number, scores in evidence.search.items()
        if number != winner and number not in without
    }
    return tuple(sorted(find_indistinguishable(evidence.pooled(winner), others, evidence.clusters)))
