"""Simulated ends of searches, decided by the project's own functions: how often what is said of a winner is true.

A cell is a number of tried pipelines, how much they differ, a number of held-out questions in some documents of unequal
size, and whether pipelines are better at some documents. Scores: difficulty of the question (the same for all) + mean
of the pipeline + its effect in the document + noise; the paired differences of two pipelines have a standard deviation
of 0.25 between questions and, with document effects, of 0.2 between documents.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.documents import Span
from rag_opt.core.questions import Question
from rag_opt.data.splits import Split, split
from rag_opt.evaluation.decision import Evidence, decide, find_strata
from rag_opt.evaluation.selection import Finalist, select_distinct

DRAWS, SPLITS, SEARCH_SHARE, FINALISTS = 2000, 20, 0.6, 5
PIPELINES, SPREADS, QUESTIONS = (5, 40, 200), (0.0, 0.02), (40, 82, 120, 300)
DOCUMENTS, DOCUMENT_EFFECTS = (1, 2, 5, 14, 50), (0.0, 0.2)
DIFFICULTY, PAIRED = 0.35, 0.25
_CHARACTERS = 400  # of a document for each of its questions


@dataclass(frozen=True)
class Cell:
    pipelines: int
    spread: float
    questions: int
    documents: int
    document_effect: float

    def __str__(self) -> str:
        differ = f"SD {self.spread * 100:g} points, document effects {self.document_effect:g}"
        return f"{self.pipelines} pipelines, {differ}, {self.questions} questions, {self.documents} documents"


@dataclass
class Tally:
    """Counts over the draws of a cell; `reported` and true (`gained`) gains, `losses` and `half_widths` in points."""

    draws: int = 0
    won: int = 0
    covered: int = 0
    false_clear: int = 0
    clear: int = 0
    held: int = 0
    reported: float = 0.0
    gained: float = 0.0
    losses: float = 0.0
    half_widths: float = 0.0
    about: str = ""


def documents_of(cell: Cell, total: int) -> np.ndarray:
    """Return the document of each question: the g-th is 1/sqrt(g) times as large as the first."""
    weights = 1 / np.sqrt(np.arange(1, cell.documents + 1))
    ends = np.round(np.cumsum(weights / weights.sum()) * total).astype(int)
    return np.searchsorted(ends, np.arange(total), side="right")


def splits_of(document: np.ndarray) -> list[Split]:
    """Return splits of the same questions under other names, so that chance divides them otherwise."""
    splits = []
    for turn in range(SPLITS):
        questions, seen = [], dict[int, int]()
        for number, place in enumerate(document.tolist()):
            start = seen.get(place, 0)
            seen[place] = start + _CHARACTERS
            name = f"{turn}-{number}"
            questions.append(Question(name, name, evidence=((Span(f"{turn}-{place}", start, start + 50),),)))
        splits.append(split(questions, search_share=SEARCH_SHARE))
    return splits


def simulate(cell: Cell, *, draws: int, seed: int = 0) -> Tally:
    total = round(cell.questions / (1 - SEARCH_SHARE))
    document = documents_of(cell, total)
    weights = np.bincount(document, minlength=cell.documents) / total
    splits, dice = splits_of(document), np.random.default_rng([seed, cell.pipelines, cell.questions, cell.documents])
    tally = Tally(about=splits[0].claim)
    for number in range(draws):
        parts = splits[number % SPLITS]
        means = dice.normal(size=cell.pipelines) * cell.spread
        means[0] = 0.0
        effects = dice.normal(size=(cell.pipelines, cell.documents)) * cell.document_effect / np.sqrt(2)
        noise = dice.normal(size=(cell.pipelines, total), scale=PAIRED / np.sqrt(2))
        scores = dice.normal(size=total) * DIFFICULTY + means[:, None] + effects[:, document] + noise
        truth = means + (effects @ weights if parts.unit_kind != "documents" else 0.0)
        _count(tally, scores, truth, parts, dice.random(cell.pipelines))
    return tally


def _count(tally: Tally, scores: np.ndarray, truth: np.ndarray, parts: Split, costs: np.ndarray) -> None:
    search, held_out = scores[:, list(parts.search)], scores[:, list(parts.held_out)]
    order = np.argsort(-search.mean(axis=1)).tolist()
    finalists = select_distinct({number: search[number] for number in order}, count=FINALISTS)
    asked = dict.fromkeys([*finalists, 0])
    evidence = Evidence(
        {number: search[number] for number in range(len(scores))},
        {number: held_out[number] for number in asked},
        parts.search_units,
        parts.held_out_units,
        find_strata(parts, held_out=True),
    )
    candidates = [Finalist(number, evidence.pooled(number), (float(costs[number]),)) for number in asked]
    decision = decide(evidence, candidates, baseline=0)
    assert decision is not None
    winner, gain = decision.winner, float(truth[decision.winner] - truth[0])
    tally.draws += 1
    tally.losses += 100 * float(truth.max() - truth[winner])
    tally.held += int(truth.argmax()) in (winner, *decision.indistinguishable)
    tally.reported += 100 * decision.expected_gain
    tally.gained += 100 * gain
    if winner:
        tally.won += 1
        tally.covered += decision.gain.low <= gain <= decision.gain.high
        tally.half_widths += 100 * min(decision.gain.high - decision.gain.mean, 100)
    tally.clear += decision.verdict == "clear"
    tally.false_clear += decision.verdict == "clear" and gain <= 0


def describe(tally: Tally) -> str:
    n, won = tally.draws, max(tally.won, 1)
    return (
        f"covered {tally.covered / won:.1%} of {tally.won}, false clear {tally.false_clear / n:.1%}, clear "
        f"{tally.clear / n:.0%}, loss {tally.losses / n:.2f}, reported {tally.reported / n:+.2f} of "
        f"{tally.gained / n:+.2f}, holds the best "
        f"{tally.held / n:.1%}, half-width {tally.half_widths / won:.1f} ({tally.about})"
    )


def cells() -> list[Cell]:
    every = itertools.product(PIPELINES, SPREADS, QUESTIONS, DOCUMENTS, DOCUMENT_EFFECTS)
    return [Cell(*values) for values in every]


def measure() -> list[tuple[str, str, str]]:
    """All cells, and of each figure the worst one: about an hour on one core."""
    return [one_document(), *summarise([(cell, simulate(cell, draws=DRAWS)) for cell in cells()])]


def one_document() -> tuple[str, str, str]:
    """One document, 300 questions, one pipeline that is 10 points better than the baseline."""
    dice, parts = np.random.default_rng(0), splits_of(np.zeros(300, int))[0]
    base = dice.normal(size=300) * DIFFICULTY
    scores = np.stack([base, base + 0.1 + dice.normal(size=300) * PAIRED])
    search, held_out = scores[:, list(parts.search)], scores[:, list(parts.held_out)]
    by_number = [dict(enumerate(part)) for part in (search, held_out)]
    evidence = Evidence(*by_number, parts.search_units, parts.held_out_units, find_strata(parts, held_out=True))
    decision = decide(evidence, [Finalist(n, evidence.pooled(n), (0.0,)) for n in (0, 1)], baseline=0)
    assert decision is not None
    gain = decision.gain
    ends = f"[{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
    measured = f"{decision.verdict}, {100 * gain.mean:+.1f} {ends}, about {parts.claim} ({parts.basis})"
    return "one document, 300 questions, a true gain of 10 points", measured, "an interval, about that document"


def summarise(tallies: Sequence[tuple[Cell, Tally]]) -> list[tuple[str, str, str]]:
    """Return the worst figure over the cells that it is promised for, each with its cell."""

    def worst(
        figure: Callable[[Tally], float],
        promised: Callable[[Cell], bool] = lambda cell: True,
        *,
        least: bool = False,
    ) -> str:
        found = [(figure(tally), cell) for cell, tally in tallies if promised(cell)]
        value, cell = (min if least else max)(found, key=lambda pair: pair[0])
        return f"{value:.3g} ({cell})"

    def without_effects(questions: int) -> Callable[[Cell], bool]:
        return lambda cell: cell.questions == questions and not cell.document_effect and cell.pipelines == 40

    def of_equal_pipelines(cell: Cell) -> bool:
        return cell.questions == 40 and not cell.document_effect and not cell.spread

    def covered(tally: Tally) -> float:
        return 100 * tally.covered / max(tally.won, 1)

    def mean_loss(tally: Tally) -> float:
        return tally.losses / tally.draws

    return [
        ("coverage of the winner's gain, lowest, %", worst(covered, least=True), "93"),
        ("coverage of the winner's gain, highest, %", worst(covered), "99"),
        ("false clear, highest, %", worst(lambda t: 100 * t.false_clear / t.draws), "5"),
        ("loss, 40 pipelines, 40 questions, points", worst(mean_loss, without_effects(40)), "1.2"),
        ("loss, 40 pipelines, 120 questions, points", worst(mean_loss, without_effects(120)), "0.6"),
        (
            "loss with document effects, points",
            worst(mean_loss, lambda cell: cell.document_effect > 0),
            "",
        ),
        (
            "reported gain of equal pipelines, 40 questions",
            worst(lambda t: t.reported / t.draws, of_equal_pipelines),
            "1",
        ),
        ("the indistinguishable set holds the best, %", worst(lambda t: 100 * t.held / t.draws, least=True), "95"),
    ]


if __name__ == "__main__":  # python -m tests.benchmarks.intervals EVERY_NTH_CELL DRAWS
    for one in cells()[:: int(sys.argv[1])]:
        print(one, "|", describe(simulate(one, draws=int(sys.argv[2]))), flush=True)
