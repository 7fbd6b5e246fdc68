"""Non-inferiority: whether a challenger is not worse than a champion, by more than a margin, on the same questions.

The rule is that of clinical trials: the margin is set before anyone looks, and the challenger passes when the whole
95 % confidence interval of the difference lies above -margin (ICH E9, 1998, section 3.3.2; Piaggio et al., JAMA 308,
2012). That no difference was shown is no proof that there is none: few or scattered questions give "undecided".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.errors import BadInput, Problem
from rag_opt.evaluation.intervals import MIN_CLUSTERS, Interval, paired_gain

MARGIN = 0.02  # 2 points of 100


class Verdict(StrEnum):
    """What a comparison of challenger and champion says."""

    NOT_WORSE = "not_worse"
    WORSE = "worse"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class NonInferiority:
    """What the comparison found: `gain` is the mean of challenger - champion, positive when the challenger is better.

    `questions`: how many both have a score for; `left_out`: how many lack one. `asked`: which questions, in words.
    """

    gain: Interval
    margin: float
    questions: int
    verdict: Verdict
    left_out: int = 0
    asked: str = ""

    @property
    def is_not_worse(self) -> bool:
        """Return whether the challenger may take the champion's place."""
        return self.verdict is Verdict.NOT_WORSE

    def describe(self) -> str:
        """Return the verdict, the interval and the reason in plain words, in points of 100."""
        margin = f"{self.margin * 100:.1f} points"
        said = {
            Verdict.NOT_WORSE: f"the challenger is not worse by more than {margin}",
            Verdict.WORSE: f"the challenger is worse by more than {margin}",
            Verdict.UNDECIDED: f"undecided whether the challenger is worse by more than {margin}",
        }[self.verdict]
        left_out = f"; {self.left_out} without a score are left out" if self.left_out else ""
        asked = f" ({self.asked})" if self.asked else ""
        return f"{said}: {self._describe_gain()}, {self.questions} questions{asked}{left_out}"

    def _describe_gain(self) -> str:
        clusters = f"{self.gain.clusters} cluster{'' if self.gain.clusters == 1 else 's'}"
        if self.questions == 0:
            return "no question has a score from both"
        mean = f"{self.gain.mean * 100:+.1f} points"
        if self.gain.clusters < MIN_CLUSTERS:
            return f"{mean}, but over {clusters} of questions, and fewer than {MIN_CLUSTERS} decide nothing"
        return f"{mean}, 95 % interval {self.gain.in_points}, over {clusters}"


def compare_scores(
    challenger: FloatArray, champion: FloatArray, clusters: Sequence[str], *, margin: float = MARGIN, asked: str = ""
) -> NonInferiority:
    """Return whether the challenger is not worse than the champion by more than the margin.

    Both arrays hold a score for each question in the same order, [questions], higher is better; NaN: not scored.
    `clusters`: the split unit of each question. `margin`: in units of the score, above 0. The interval is paired,
    two-sided at 95 % and cluster-robust (`intervals.paired_gain`), so a worse challenger passes at most 2.5 times in a
    hundred. Raises BadInput for a margin that is no positive number.
    """
    if not (np.isfinite(margin) and margin > 0):
        raise BadInput([Problem("margin", f"is {margin!r}; should be a number above 0, in units of the score")])
    questions = int((~np.isnan(challenger - champion)).sum())
    gain = paired_gain(challenger, champion, clusters)
    return NonInferiority(
        gain=gain,
        margin=margin,
        questions=questions,
        verdict=_judge(gain, margin),
        left_out=len(challenger) - questions,
        asked=asked,
    )


def _judge(gain: Interval, margin: float) -> Verdict:
    if gain.clusters < MIN_CLUSTERS:
        return Verdict.UNDECIDED
    if gain.low > -margin:
        return Verdict.NOT_WORSE
    return Verdict.WORSE if gain.high < -margin else Verdict.UNDECIDED
