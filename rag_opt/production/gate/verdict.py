"""The verdict of a gate, and how many questions would give one.

Non-inferiority (ICH E9, 1998): the margin is set before anyone looks, and whoever is new passes when the whole 95 %
interval of the paired difference lies above -margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from rag_opt.evaluation.intervals import MIN_CLUSTERS
from rag_opt.evaluation.non_inferiority import NonInferiority

MARGIN_POINTS = 3.0
_POWER = 0.8  # share of the times that equal pipelines should pass with the number of questions asked for


class GateVerdict(IntEnum):
    """Exit code of the command; 2 is a wrong call, as everywhere."""

    PASSES = 0
    WORSE = 1
    UNDECIDED = 3


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on. `questions_to_tell`: how many would do; None where that is not known."""

    verdict: GateVerdict
    comparison: NonInferiority
    questions_to_tell: int | None = None

    def describe(self) -> str:
        """Return it in one line, in points of 100."""
        gain, margin = self.comparison.gain, f"{self.comparison.margin * 100:g} points"
        counted = f"{self.comparison.questions} questions in {gain.clusters} clusters"
        if gain.clusters < MIN_CLUSTERS:
            return f"cannot be judged: {counted}, where fewer than {MIN_CLUSTERS} clusters decide nothing"
        measured = f"{gain.mean * 100:+.1f} points, 95 % interval {gain.in_points}, {counted}"
        if self.verdict is GateVerdict.PASSES:
            return f"passes: not worse by more than {margin} ({measured})"
        if self.verdict is GateVerdict.WORSE:
            return f"worse ({measured})"
        more = f"; about {self.questions_to_tell:,} questions would tell" if self.questions_to_tell else ""
        return f"cannot be judged to {margin} ({measured}){more}"


def judge(comparison: NonInferiority) -> Judgement:
    """Return the verdict of a comparison: passes, worse (the whole interval lies below 0), or not to be judged."""
    gain = comparison.gain
    if gain.clusters < MIN_CLUSTERS:
        return Judgement(GateVerdict.UNDECIDED, comparison)
    if gain.low > -comparison.margin:
        return Judgement(GateVerdict.PASSES, comparison)
    if gain.high < 0:
        return Judgement(GateVerdict.WORSE, comparison)
    return Judgement(GateVerdict.UNDECIDED, comparison, count_questions_to_tell(comparison))


def count_questions_to_tell(comparison: NonInferiority) -> int | None:
    """Return with how many questions like these two equal pipelines would pass 4 times in 5.

    n = n0 * ((t(0.975) + t(0.8)) * error / margin)^2 (Chow, Shao & Wang, 2008, 3.2.1), the error as measured over n0
    questions; it is itself known only roughly, so its upper 80 % confidence bound is taken (chi-squared).
    """
    from scipy.special import chdtri, stdtrit

    gain, degrees = comparison.gain, max(comparison.gain.clusters - 1, 1)
    if not (math.isfinite(gain.error) and gain.error > 0 and comparison.questions):
        return None
    error = gain.error * math.sqrt(degrees / float(chdtri(degrees, _POWER)))
    quantiles = float(stdtrit(degrees, 0.975)) + float(stdtrit(degrees, _POWER))
    return max(math.ceil(comparison.questions * (quantiles * error / comparison.margin) ** 2), comparison.questions + 1)
