"""Names and numbers as MLflow takes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_MOST_NAME_CHARACTERS = 250
_ILLEGAL = re.compile(r"[^\w./ :-]")
LEFT_OUT = "tracking/not_finite"  # how many metrics of a run were no finite numbers


def legal_name(name: str) -> str:
    """Return the name of a metric or parameter as MLflow takes it: `nDCG@10` as `nDCG_at_10`."""
    replaced = _ILLEGAL.sub("_", name.replace("@", "_at_"))
    steps = [step.strip() for step in replaced.split("/")]  # a path without empty steps and without "." and ".."
    return "/".join(step for step in steps if step.strip("."))[:_MOST_NAME_CHARACTERS] or "unnamed"


def legal_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics under legal names, without what is no finite number; these are counted as `LEFT_OUT`.

    Of two names that become the same the later one gets a number.
    """
    legal: dict[str, float] = {}
    for name, value in metrics.items():
        if not math.isfinite(value):
            continue
        free, number = legal_name(name), 2
        while free in legal:
            free, number = f"{legal_name(name)[: _MOST_NAME_CHARACTERS - 4]}_{number}", number + 1
        legal[free] = float(value)
    left_out = sum(not math.isfinite(value) for value in metrics.values())
    return legal | ({LEFT_OUT: float(left_out)} if left_out else {})
