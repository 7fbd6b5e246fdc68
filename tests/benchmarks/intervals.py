"""How often pipelines without any effect look better or worse: one alone, and any of six at once."""

from __future__ import annotations

import numpy as np

from rag_opt.evaluation.intervals import mean_interval, mean_intervals

REPETITIONS, PIPELINES, ALIKE_IN_A_DOCUMENT = 250, 6, 0.3
DOCUMENTS = {
    "30 documents of 3": [3] * 30,
    "one of 40, 29 of 2": [40, *[2] * 29],
    "one of 40, 9 of 4": [40, *[4] * 9],
    "40, 20, 10, 5, 3, 2, 2, 1, 1, 1, 1, 1": [40, 20, 10, 5, 3, 2, 2, *[1] * 5],
    "4 of 5": [5] * 4,
    "10 of 5": [5] * 10,
}


def measure() -> list[tuple[str, str, str]]:
    rows = []
    for what, sizes in DOCUMENTS.items():
        units = [f"d{number}" for number, size in enumerate(sizes) for _ in range(size)]
        dice = np.random.default_rng(5)

        def drawn(sizes: list[int] = sizes, dice: np.random.Generator = dice) -> np.ndarray:
            shared = np.repeat(dice.normal(size=len(sizes)), sizes)
            own = dice.normal(size=sum(sizes))
            return np.sqrt(ALIKE_IN_A_DOCUMENT) * shared + np.sqrt(1 - ALIKE_IN_A_DOCUMENT) * own

        one = several = 0
        for _ in range(REPETITIONS):
            common = drawn()
            columns = [common + drawn() for _ in range(PIPELINES)]
            alone = mean_interval(columns[0], units)
            one += alone.low > 0 or alone.high < 0
            several += any(i.low > 0 or i.high < 0 for i in mean_intervals(columns, units))
        measured = f"{several / REPETITIONS:.1%}, one alone {one / REPETITIONS:.1%}"
        rows.append((f"questions of each document: {what}; one of {PIPELINES} looked clear", measured, "5 %"))
    return rows
