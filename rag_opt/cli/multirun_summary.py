"""The end of a multirun: what its studies came to, side by side, and whether they agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from rag_opt.report.study import Study
from rag_opt.study.descriptions import describe


def describe_studies(paths: Sequence[Path]) -> str:
    """Return a line for each study (gain, verdict, winner), and how far the gains of the studies lie apart."""
    lines, gains, winners = ["", f"{len(paths)} studies"], list[float](), Counter[str]()
    for path in paths:
        study = Study(path)
        result = study.result
        if result is None or study.best is None:
            lines.append(f"  {study.name}: no winner")
            continue
        words = describe(study.best.spec)
        winners[words] += 1
        gain = result["gain"]["mean"]
        gains += [gain] if gain is not None else []
        said = "no gain known" if gain is None else f"{gain * 100:+.1f} points"
        lines.append(f"  {study.name}: {said}, {result['verdict']}; {words}")
    if len(gains) > 1:
        spread = f"{mean(gains) * 100:+.1f} points on average, standard deviation {stdev(gains) * 100:.1f}"
        most, count = winners.most_common(1)[0]
        lines.append(
            f"  gains: {spread}; {len(winners)} different winners, the most frequent one {count} times: {most}"
        )
    return "\n".join(lines)
