"""Two versions of the program on the same search: the same trials, and the same values.

    python -m tests.benchmarks.comparing BEFORE [BEFORE ...] -- AFTER [AFTER ...]

Each argument is a study's folder of a cold run. Chroma's graph is not built the same twice, so where one is searched
the values after must lie within what the runs before span, widened by that span.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import optuna


def read_study(folder: Path) -> dict[int, tuple[dict[str, Any], float | None]]:
    """Return pipeline and value by the number of each trial."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{(folder / 'study.db').resolve().as_posix()}")
    (name,) = optuna.study.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
    return {trial.number: (trial.user_attrs["spec"], trial.value if trial.values else None) for trial in trials}


def searches_a_graph(spec: dict[str, Any]) -> bool:
    """Return whether Chroma is searched, or gives the vectors that a reranker compares."""
    ((kind, settings),) = spec["retriever"].items()
    return kind == "dense" or settings.get("vectors") == "chroma"


def main(arguments: list[str]) -> None:
    """Print what is the same and what is not."""
    at = arguments.index("--")
    before, after = ([read_study(Path(folder)) for folder in some] for some in (arguments[:at], arguments[at + 1 :]))
    numbers = sorted(before[0])
    same = all(sorted(one) == numbers and all(one[n][0] == before[0][n][0] for n in numbers) for one in after)
    print(f"{len(numbers)} trials; the same pipelines in the same order: {'yes' if same else 'NO'}")
    exact = [n for n in numbers if not searches_a_graph(before[0][n][0])]
    differ = [n for n in exact if any(one[n][1] != before[0][n][1] for one in after)]
    print(f"{len(exact)} without a graph: {len(exact) - len(differ)} with the same value; others: {differ or 'none'}")
    graph, outside, widest = [n for n in numbers if n not in exact], [], 0.0
    for n in graph:
        values = [value for one in before if (value := one[n][1]) is not None]
        low, high = min(values), max(values)
        widest = max(widest, high - low)
        spread = max(high - low, 1e-12)
        if any((value := one[n][1]) is None or not low - spread <= value <= high + spread for one in after):
            outside.append(n)
    print(f"{len(graph)} with a graph, spread of the runs before at most {widest:.4f}; outside: {outside or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1:])
