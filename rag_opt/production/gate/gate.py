"""The gate: whether one pipeline may take the place of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rag_opt.core.errors import BadBundle, BadInput, Problem
from rag_opt.core.secrets import mask
from rag_opt.evaluation.run import ScoringResources
from rag_opt.production.comparing import Scored, compare_stored
from rag_opt.production.gate.comparing_sides import Compared, choose_questions, compare_sides
from rag_opt.production.gate.sides import BundleSide, find_documents, open_side
from rag_opt.production.gate.verdict import Judgement, judge
from rag_opt.store.values import MemoryValues


@dataclass(frozen=True)
class GateResult:
    """What a gate found: the two sides, the verdict, and what it rests on."""

    new: str
    against: str
    compared: Compared
    judgement: Judgement

    def describe(self) -> str:
        """Return the verdict in one line."""
        return f"{self.new} against {self.against}: {self.compared.objective}: {self.judgement.describe()}"


def run_gate(
    new: str,
    against: str,
    resources: ScoringResources,
    *,
    questions: Path | None = None,
    documents: str | None = None,
    margin: float,
    asks: bool = False,
    plugins: Sequence[str] = (),
    allow_code: Sequence[str] = (),
) -> GateResult:
    """Compare two sides, each a bundle's folder, the address of a service, or a log.

    Two bundles are compared by what they scored on the questions that both store, and no model is loaded; else, with
    `asks`, or with a file of `questions`, what they return is scored by the objective of `against`. `documents`:
    folder, where neither side is a bundle. `margin`: in units of the objective, above 0. Raises BadInput for what
    cannot be read, BadBundle where the sides cannot be compared, ServerFailed where a service does not answer.
    """
    if not (np.isfinite(margin) and margin > 0):
        raise BadInput([Problem("--margin", f"is {margin * 100:g}; should be a number of points above 0")])
    ours, theirs = (
        open_side(given, where=where, asks=asks, plugins=plugins, allow_code=allow_code)
        for given, where in ((new, "NEW"), (against, "--against"))
    )
    compared = None
    if isinstance(ours, BundleSide) and isinstance(theirs, BundleSide) and questions is None and not asks:
        compared = _compare_stored(ours, theirs, margin)
    if compared is None:
        texts = find_documents((theirs, ours), documents)
        asked = choose_questions(ours, theirs, questions, texts.corpus)
        compared = compare_sides(ours, theirs, asked, resources, MemoryValues(), margin=margin, documents=texts)
    return GateResult(mask(new), mask(against), compared, judge(compared.comparison))


def _compare_stored(ours: BundleSide, theirs: BundleSide, margin: float) -> Compared | None:
    """Return how two bundles compare by the scores that both store; None where they store none that compare."""
    try:
        scored = (Scored.of(side.manifest, side.stored) for side in (ours, theirs))
        found = compare_stored(*scored, margin=margin)
    except BadBundle:  # other objectives, other questions: what they return is scored by one objective
        return None
    note = f"the scores that both store are compared ({found.comparison.asked}); --ask asks them anew"
    return Compared(found.objective, found.comparison, found.metrics, found.questions, [note])
