"""The first screen of the report: who won, by how much, what that is made of, what it costs, what to do with it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rag_opt.report.contents import Contents
from rag_opt.report.summary import METRICS_BESIDE, describe_gain
from rag_opt.study.descriptions import describe
from rag_opt.study.result import Result


@dataclass(frozen=True)
class Number:
    """A number of the first screen: where it is from, its value, as it is written."""

    name: str
    value: float
    written: str


@dataclass(frozen=True)
class Pair:
    """A metric of winner and baseline on the same questions. `more_is_better`: of this metric."""

    label: str
    metric: str
    baseline: Number | None
    winner: Number
    more_is_better: bool

    @property
    def judgement(self) -> str:
        """Whether the winner is better or worse in it, as it is written; empty where neither."""
        if self.baseline is None or self.baseline.written == self.winner.written:
            return ""
        return "better" if (self.winner.value > self.baseline.value) == self.more_is_better else "worse"


@dataclass(frozen=True)
class Headline:
    """What the first screen says. `status`: empty once the search has ended."""

    title: str
    status: str
    winner: str
    winner_number: int
    baseline: str
    verdict: str
    gain: str
    belief: str
    numbers: tuple[Number, ...]
    pairs: tuple[Pair, ...]
    alike: int
    tried: int
    export: str
    about: str


_VERDICTS = {
    "clear": "clear gain",
    "undecided": "undecided",
    "baseline stands": "the baseline stands",
    "no baseline": "no baseline to compare with",
}
_LESS_IS_BETTER = ("cost/", "quality/refused_answerable")


def write_headline(contents: Contents) -> Headline:
    """Return the first screen of a study, also of one whose search goes on."""
    result, study = contents.result, contents.study
    about = f"{contents.facts.get('documents', '?')} documents"
    if result is None:
        return _running(contents, about)
    where = f"{result.questions} {'held-out' if result.on_held_out else 'search'} questions"
    baseline = contents.by_number.get(result.baseline) if result.baseline is not None else None
    export = f"python -m rag_opt.export {study.path} --out bundle/"
    if result.keep:
        export = f"keep {result.keep}"
    return Headline(
        title=study.name,
        status="",
        winner=describe(result.spec),
        winner_number=result.winner,
        baseline=result.running or (describe(baseline.spec) if baseline is not None else ""),
        verdict=_VERDICTS[result.verdict],
        gain=_explain_gain(result),
        belief=_explain_belief(result),
        numbers=tuple(_gain_numbers(result)),
        pairs=tuple(_pairs(contents, result)),
        alike=len(result.indistinguishable),
        tried=result.tried,
        export=export,
        about=f"{about}, {where}; what is said holds for {result.claim}",
    )


def _running(contents: Contents, about: str) -> Headline:
    number = contents.shown[0] if contents.shown else contents.study.trials[0].number
    best = contents.by_number[number]
    total = contents.facts.get("trials", "?")
    state = "the search goes on" if contents.study.is_running else "the search has not ended"
    value = () if best.value is None else (Number("value", best.value, f"{best.value:.4f}"),)
    return Headline(
        title=contents.study.name,
        status=f"{state}: {len(contents.study.trials)} of {total} trials",
        winner=describe(best.spec),
        winner_number=number,
        baseline="",
        verdict="best so far, on search questions",
        gain="no winner yet: finalists are compared on held-out questions at the end",
        belief="Not yet: the search optimises these questions.",
        numbers=value,
        pairs=(),
        alike=0,
        tried=len(contents.complete),
        export="",
        about=about,
    )


def _explain_gain(result: Result) -> str:
    """Return what the numbers of the gain mean; all of it in words where there are none."""
    if result.baseline is None or result.winner == result.baseline:
        return describe_gain(result)
    picked = f"expected: what was measured, less what picking the best of {result.finalists} adds by luck"
    return f"{picked}; the interval holds for all {result.finalists} finalists at once"


def _explain_belief(result: Result) -> str:
    """Return whether the gain may be believed, and what would tell."""
    if result.winner == result.baseline or result.baseline is None:
        return "There is no gain to believe."
    if result.verdict == "clear":
        return f"Yes, for {result.claim}: all of the interval is above 0."
    if result.verdict == "baseline stands":
        return "No: all of the interval is below 0. Keep what runs today."
    more = result.questions_to_tell
    tell = f" About {more:,} held-out questions would tell." if more is not None else ""
    holds = "the interval holds 0" if result.gain.low <= 0 else "too little is known to be sure"
    as_good = "what runs today is as good a choice" if result.running else "the baseline is as good a choice"
    named = "" if result.baseline_trial is None else f": --trial {result.baseline_trial}"
    return f"Not yet: {holds}.{tell} Until then {as_good}{named}."


def _gain_numbers(result: Result) -> Iterator[Number]:
    """Yield expected and measured gain, in points of 100, with the ends of the interval."""
    if result.baseline is None or result.winner == result.baseline:
        return
    yield Number("expected_gain", result.expected_gain, f"{result.expected_gain * 100:+.1f}")
    yield Number("gain.mean", result.gain.mean, f"{result.gain.mean * 100:+.1f}")
    for end in ("low", "high"):
        value = float(getattr(result.gain, end))
        if math.isfinite(value):
            yield Number(f"gain.{end}", value, f"{value * 100:+.1f}")


def _pairs(contents: Contents, result: Result) -> Iterator[Pair]:
    """Yield the objective and what a gain may have cost, winner and baseline on the same questions."""
    means, sides = result.held_out_means, (result.baseline, result.winner)
    yield Pair(
        f"{contents.objective} (what was optimised)",
        "objective",
        None if result.baseline is None else _number("objective", result.baseline, means[result.baseline], "{:.3f}"),
        _number("objective", result.winner, means[result.winner], "{:.3f}"),
        contents.sign > 0,
    )
    searched = result.searched_means
    if result.baseline is not None and result.on_held_out:
        yield Pair(
            f"{contents.objective} on the search questions",
            "searched",
            _number("searched", result.baseline, searched[result.baseline], "{:.3f}"),
            _number("searched", result.winner, searched[result.winner], "{:.3f}"),
            contents.sign > 0,
        )
    for metric, label, written in METRICS_BESIDE:
        known = [number is not None and metric in result.metrics.get(number, {}) for number in sides]
        if not known[1]:
            continue
        winner, scale = result.metrics[result.winner][metric], 1000.0 if metric == "cost/usd" else 1.0
        baseline = result.metrics[result.baseline][metric] if known[0] and result.baseline is not None else None
        if metric.startswith("cost/") and not winner and not baseline:
            continue  # nothing was paid
        yield Pair(
            label,
            metric,
            None
            if baseline is None or result.baseline is None
            else _number(metric, result.baseline, baseline, written, scale),
            _number(metric, result.winner, winner, written, scale),
            not metric.startswith(_LESS_IS_BETTER),
        )


def _number(metric: str, trial: int, value: float, written: str, scale: float = 1.0) -> Number:
    return Number(f"{metric}@{trial}", value, written.format(value * scale))
