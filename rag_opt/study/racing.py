"""Racing over questions: a pipeline that surely loses is not asked them all, where asking costs.

One fixed shuffled order, blocks of 25, 50 and 100 %, one rule: stop when the upper 99 % bound of the paired gain over
the incumbent is below the margin (Maron & Moore, 1997; paired on questions as in F-Race, Birattari et al., 2002).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray, IntArray
from rag_opt.core.digests import digest
from rag_opt.core.questions import Question
from rag_opt.evaluation.intervals import Interval, paired_gain
from rag_opt.evaluation.selection import MARGIN_SHARE

BLOCKS = (0.25, 0.5, 1.0)
_CONFIDENCE = 0.98  # two-sided: 99 % below the upper end
_MIN_CLUSTERS = 5  # an interval over fewer says nothing


@dataclass(frozen=True)
class Race:
    """Rules of a race against the best pipeline so far, the incumbent.

    `margin_share`: a pipeline that surely gains less than so much, as a share of the deviation of the incumbent's
    scores over questions, has lost. `evidence_margin`: one that surely loses more evidence recall than so much, in
    points of 1, has lost before anything is answered.
    """

    margin_share: float = MARGIN_SHARE
    evidence_margin: float = 0.05

    def blocks(self, questions: Sequence[Question]) -> Iterator[IntArray]:
        """Yield the ascending positions of the questions of each block; it holds those before it, the last is all."""
        order = np.array(sorted(range(len(questions)), key=lambda i: digest(["race", questions[i].id])), np.int64)
        for share in BLOCKS:
            yield np.sort(order[: math.ceil(share * len(questions))])

    def find_score_loss(self, ours: FloatArray, theirs: FloatArray, clusters: Sequence[str]) -> Interval | None:
        """Return the gain over the incumbent where it is surely below the margin, else None.

        Scores per question, oriented so that higher is better.
        """
        return _gain_below(ours, theirs, clusters, self.margin_share * float(np.nanstd(theirs)))

    def find_evidence_loss(self, ours: FloatArray, theirs: FloatArray, clusters: Sequence[str]) -> Interval | None:
        """Return the gain in evidence recall where it surely is a loss of more than the margin, else None."""
        return _gain_below(ours, theirs, clusters, -self.evidence_margin)


def _gain_below(ours: FloatArray, theirs: FloatArray, clusters: Sequence[str], margin: float) -> Interval | None:
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    if len({cluster for cluster, known in zip(clusters, both, strict=True) if known}) < _MIN_CLUSTERS:
        return None
    gain = paired_gain(ours, theirs, clusters, confidence=_CONFIDENCE)
    return gain if gain.high < margin else None


class Skipped(Exception):
    """A person asked the search to leave this pipeline."""


class ScreenedOut(Exception):
    """A pipeline finds so much less evidence that nothing was answered. The message says by how much."""
