"""The outcome of a search: the winner, why it is that one, and what may be said of its gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from rag_opt.core.strict import PlainDict, PlainMapping
from rag_opt.evaluation.decision import Verdict
from rag_opt.evaluation.intervals import Interval
from rag_opt.evaluation.prediction_powered import CorrectedGain
from rag_opt.pipeline.spec import SpecDict


@dataclass(frozen=True)
class Offer:
    """A cheaper pipeline that was not chosen, shown beside the winner.

    `loses`: how much of the objective, by the mean over all questions. `costs`: by metric the winner's and its own.
    """

    trial: int
    loses: float
    costs: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Result:
    """Outcome of a search; trials by number.

    `verdict`: clear, undecided (these questions cannot tell the winner from the baseline), baseline stands, or no
    baseline (it could not be evaluated). `why`: why this one was chosen. `claim`: what the gain is about, these
    documents or documents like these.

    `gain` of the winner over the baseline on the held-out questions, paired, in the direction in which more is better;
    its interval holds for all `finalists` at once. `expected_gain`: the same without what picking the winner added.
    `gains`: of the objectives that are optimised against it. `corrected`: a judged gain with people's labels counted.
    `questions_to_tell`: held-out questions that would show the expected gain, where these do not. `finalists` and the
    baseline were compared; `tried`: pipelines that could have won.

    `pooled_means` and `held_out_means` of the finalists and the baseline, `searched_means` of the same in the search.
    `indistinguishable`: of all tried pipelines those that cannot be told to be worse than the winner. `offer`: a
    cheaper pipeline that was not chosen. `outside`: by trial the guards that it breaks, with how far it is outside.
    `on_held_out` False: there were no held-out questions, so every number is of questions that the search optimised.

    `metrics` of finalists and baseline on the held-out questions; `scored`: how many of these each metric is a mean of.
    `refusal_auc`: how well the winner's refusals can be decided at all, with the ends of its interval.
    `inputs_encoded`: texts that the process which finished the search ran through a model. `front`: with several
    objectives the Pareto front of the trials, on the search questions. `bounds`: means of the winner's generator
    without any context (closed book) and with the evidence itself (gold context). `unfinished`: why not all finalists
    were asked. `damage`: what was found damaged during the study, and was made again. `spent`: on language models by
    the whole study, by who asked and what. `removed`: kinds of the winner that the space leaves out: then it is the
    baseline, and means keep what you have. `running`: file or address of a baseline that stands beside the trials,
    and then has the number -1; empty where it is a trial.
    """

    winner: int
    spec: SpecDict
    baseline: int | None
    verdict: Verdict
    why: str
    claim: str
    gain: Interval
    expected_gain: float
    questions_to_tell: int | None
    pooled_means: dict[int, float]
    held_out_means: dict[int, float]
    searched_means: dict[int, float]
    indistinguishable: tuple[int, ...]
    offer: Offer | None
    outside: dict[int, dict[str, float]]
    questions: int
    finalists: int
    tried: int
    on_held_out: bool
    metrics: dict[int, dict[str, float]]
    inputs_encoded: int
    gains: dict[str, Interval] = field(default_factory=dict)
    corrected: CorrectedGain | None = None
    refusal_auc: tuple[float, float, float] | None = None
    front: tuple[int, ...] = ()
    bounds: dict[str, float] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    unfinished: str = ""
    damage: tuple[str, ...] = ()
    scored: dict[int, dict[str, int]] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    running: str = ""

    @property
    def baseline_trial(self) -> int | None:
        """Trial of the baseline; None where it could not be evaluated, or stands beside the trials."""
        return None if self.running else self.baseline

    @property
    def keep(self) -> str:
        """Why nothing is exported, in words; empty where the winner is."""
        if self.removed:
            return f"what you have: the space leaves out {', '.join(self.removed)}"
        return "what runs today" if self.running and self.verdict == "baseline stands" else ""

    def to_dict(self) -> PlainDict:
        """Return plain data for JSON; numbers that are not finite are null."""
        return {name: _to_plain(value) for name, value in asdict(self).items()}

    @staticmethod
    def from_dict(plain: PlainMapping) -> Result:
        """Return the result that `to_dict` wrote; fields of other versions are left out."""
        known = {one.name for one in fields(Result)}
        values: dict[str, Any] = {name: value for name, value in plain.items() if name in known}
        for name in _BY_TRIAL:
            values[name] = {int(number): value for number, value in values.get(name, {}).items()}
        values["gain"] = _interval(values["gain"])
        values["gains"] = {name: _interval(gain) for name, gain in values.get("gains", {}).items()}
        for name in ("indistinguishable", "front", "damage", "removed"):
            values[name] = tuple(values.get(name, ()))
        if values.get("offer") is not None:
            offer = values["offer"]
            costs = {name: (ours, theirs) for name, (ours, theirs) in offer["costs"].items()}
            values["offer"] = Offer(offer["trial"], offer["loses"], costs)
        if values.get("corrected") is not None:
            corrected = values["corrected"]
            inner = corrected["interval"]
            values["corrected"] = CorrectedGain(
                _interval(inner) if inner is not None else None,
                corrected["winner_labels"],
                corrected["baseline_labels"],
            )
        if values.get("refusal_auc") is not None:
            values["refusal_auc"] = tuple(values["refusal_auc"])
        return Result(**values)


_BY_TRIAL = ("pooled_means", "held_out_means", "searched_means", "outside", "metrics", "scored")


def _interval(plain: PlainMapping) -> Interval:
    """Return an interval whose ends may be endless, which JSON writes as null."""
    ends = {"mean": np.nan, "error": np.inf, "low": -np.inf, "high": np.inf}
    return Interval(**{**plain, **{name: end for name, end in ends.items() if plain[name] is None}})


def _to_plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _to_plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
