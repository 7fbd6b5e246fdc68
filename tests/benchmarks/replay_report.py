"""What replays say: per strategy and budget, with intervals over data sets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rag_opt.core.arrays import FloatArray
from tests.benchmarks.replay_grid import BUDGETS


def report(rows: Sequence[dict[str, Any]], names: Sequence[str], data: Sequence[str]) -> None:
    """Per strategy the mean over data sets of best / optimum and of held-out pick / exhaustive pick, per budget."""
    table = np.zeros((len(names), len(data), len(BUDGETS), 3))
    for name, one in itertools.product(names, data):
        found = [row["found"] for row in rows if row["strategy"] == name and row["data"] == one]
        table[names.index(name), data.index(one)] = np.mean(found, axis=0)
    shares = " | ".join(f"{share:.0%}" for share in BUDGETS)
    print(
        f"\n{len(data)} data sets: best found / optimum by share of the cached grid's cost; at 10 % also the trials,"
        " and the held-out score of the pick / of the exhaustive pick"
    )
    print(f"| strategy | {shares} | trials at 10 % | held out | slowest ask |\n|{' --- |' * (len(BUDGETS) + 4)}")
    for i, name in enumerate(names):
        cells = " | ".join(f"{value:.3f}" for value in table[i, :, :, 0].mean(axis=0))
        ratio = table[i, :, 2, 1]
        error = ratio.std(ddof=1) / np.sqrt(len(data)) if len(data) > 1 else np.nan
        low = ratio.mean() - _t(len(data)) * error
        asking = max(row["asking"] for row in rows if row["strategy"] == name)
        count = table[i, :, 2, 2].mean()
        print(f"| {name} | {cells} | {count:.0f} | {ratio.mean():.3f} (from {low:.3f}) | {asking:.2f} s |")
    print()
    for line in _chosen_elsewhere(table, names, data):
        print(line)
    print("\npaired gain in best / optimum over each other, 95 % intervals over data sets, at 5 % and 10 % of the cost")
    base = int(np.argmax([table[i, :, 2, 0].mean() for i in range(len(names))]))
    for i, name in enumerate(names):
        if i != base:
            parts = []
            for budget in (1, 2):
                difference = table[base, :, budget, 0] - table[i, :, budget, 0]
                half = _t(len(data)) * difference.std(ddof=1) / np.sqrt(len(data))
                parts.append(f"{difference.mean():+.4f} ± {half:.4f}")
            print(f"{names[base]} over {name}: {', '.join(parts)}")


def _chosen_elsewhere(table: FloatArray, names: Sequence[str], data: Sequence[str]) -> Iterator[str]:
    """For each kind of strategy with settings to choose: its value where they are chosen on all other data sets."""
    for kind in ("cost_aware", "cost_aware sweep"):
        variants = [i for i, name in enumerate(names) if name == kind or name.startswith(f"{kind} eta=")]
        if len(variants) < 2:
            continue
        values = []
        for one in range(len(data)):
            others = [i for i in range(len(data)) if i != one]
            best = max(variants, key=lambda i: table[i, others, 2, 0].mean())
            values.append(table[best, one, 2, 0])
        yield f"{kind}, eta chosen on the other data sets: {np.mean(values):.3f} at 10 %"


def _t(count: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(count - 1, 1), 0.975))
