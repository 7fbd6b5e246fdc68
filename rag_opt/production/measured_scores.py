"""What an exported pipeline scored, with intervals, of the questions that travel with it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rag_opt.core.registry import lookup
from rag_opt.core.strict import PlainDict, PlainMapping
from rag_opt.evaluation.interfaces import Objective
from rag_opt.evaluation.intervals import Interval, mean_interval
from rag_opt.production.manifest import Manifest
from rag_opt.production.stored_questions import StoredQuestion

_LOGGED = ("evidence", "refusals")


def measure_scores(questions: Sequence[StoredQuestion]) -> PlainDict:
    """Return by part of the split and metric the mean, its 95 % interval and over how many questions it is.

    Intervals cluster by split units; one over fewer than two clusters is null.
    """
    measured: PlainDict = {}
    for part in dict.fromkeys(one.seen.part for one in questions):
        some = [one.seen for one in questions if one.seen.part == part]
        names = sorted({name for seen in some for name in seen.scores})
        measured[part] = {}
        for name in names:
            scored = [seen for seen in some if name in seen.scores]
            values = np.array([seen.scores[name] for seen in scored], float)
            interval = mean_interval(values, [seen.unit for seen in scored])
            measured[part][name] = {**plain_interval(interval), "questions": len(scored)}
    return measured


def plain_interval(interval: Interval) -> PlainDict:
    """Return mean and ends of an interval as plain data; ends that nobody knows are null."""
    ends = (interval.low, interval.high)
    low, high = ends if all(map(math.isfinite, ends)) else (None, None)
    return {"mean": interval.mean, "low": low, "high": high}


def pick_gain(result: PlainMapping | None, trial: int) -> PlainDict | None:
    """Return the gain over the baseline that a study's result measured for its winner; None for another trial."""
    if result is None or result.get("winner") != trial:
        return None
    gain = result.get("gain") or {}
    kept = {name: gain.get(name) for name in ("mean", "low", "high")}
    return {**kept, "baseline": result.get("baseline"), "verdict": result.get("verdict"), "claim": result.get("claim")}


def read_objective(manifest: Manifest) -> Objective | None:
    """Return the objective that a bundle was optimised for, with its settings; None where it does not say."""
    kind, settings = manifest.scores.get("objective"), manifest.scores.get("objective_settings") or {}
    return None if kind is None else lookup("objective", str(kind))(**settings)


def read_logged_objectives() -> tuple[Objective, ...]:
    """Return what is measured beside it."""
    return tuple(lookup("objective", name)() for name in _LOGGED)
