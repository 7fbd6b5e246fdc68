"""The summary at the end of a search: the winner beside the baseline, and what may be said of the difference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group
from rich.table import Table

from rag_opt.evaluation.prediction_powered import MIN_LABELS, CorrectedGain
from rag_opt.report.live_display import describe_spending
from rag_opt.study.bounds import CLOSED_BOOK, GOLD_CONTEXT
from rag_opt.study.descriptions import describe
from rag_opt.study.result import Offer, Result
from rag_opt.study.trials import Trial

_LISTED = 8  # numbers of trials that are written out
_COST_NAMES = {"cost/usd": "dollars", "cost/context_tokens": "context tokens", "cost/latency_ms_p50": "ms of latency"}
_WITH = {CLOSED_BOOK: "no context at all", GOLD_CONTEXT: "the evidence itself as its context"}
_JUDGED = (
    "faithfulness",
    "answer_relevancy",
    "context_precision",
    "context_recall",
    "factual_correctness",
    "answer_correctness",
    "noise_sensitivity",
)
# What a gain may have cost: metric, what it is called here, how it is written.
METRICS_BESIDE = (
    ("retrieval/evidence_recall", "evidence recall", "{:.3f}"),
    ("retrieval/document_ndcg_at_10", "nDCG@10", "{:.3f}"),
    ("ragas/semantic_similarity", "semantic similarity", "{:.3f}"),
    *((f"ragas/{name}", f"{name.replace('_', ' ')}, judged", "{:.3f}") for name in _JUDGED),
    ("quality/refused_answerable", "refused wrongly", "{:.0%}"),
    ("quality/refused_unanswerable", "refused rightly", "{:.0%}"),
    ("cost/context_tokens", "context tokens", "{:,.0f}"),
    ("cost/latency_ms_p50", "latency, median, one at a time", "{:.0f} ms"),
    ("cost/latency_ms_p95", "latency, 95th percentile", "{:.0f} ms"),
    ("cost/batch_ms", "time of a question in a batch", "{:.0f} ms"),
    ("cost/model_input_tokens", "tokens to the model", "{:,.0f}"),
    ("cost/usd", "dollars per 1,000 questions", "{:,.3g}"),
)


def build_summary(
    result: Result,
    trials: Sequence[Trial],
    *,
    objectives: Sequence[str],
    places: Mapping[str, str],
    questions: Sequence[str] = (),
) -> Group:
    """Return winner, baseline and gain with its interval; the two side by side; where to look and how to export.

    `questions`: notes on questions that were made, not asked by people.
    """
    by_number = {trial.number: trial for trial in trials}
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in _verdict_rows(result, by_number):
        table.add_row(name, value)
    after = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    after.add_column(no_wrap=True)
    after.add_column(overflow="fold")  # an address is no use without its end
    for name, place in places.items():
        after.add_row(name, place)
    for name, bound in result.bounds.items():
        after.add_row(name, f"{bound:.4f}: the winner's generator with {_WITH[name]}")
    for name, value in _notes(result, questions):
        after.add_row(name, value)
    beside = _side_by_side(result, objectives[0])
    return Group(table, "", beside, *_front(result, by_number, objectives), "", after)


def _verdict_rows(result: Result, by_number: Mapping[int, Trial]) -> Iterator[tuple[str, str]]:
    """Yield what was decided, why, and how sure it is."""
    yield "winner", f"trial {result.winner}: {describe(result.spec)}"
    yield "chosen", result.why
    if result.baseline is None:
        why = "was not asked the held-out questions" if result.unfinished else "could not be evaluated (see trial 0)"
        yield "baseline", f"{why}, so the gain over it is unknown"
    else:
        if result.running:
            yield "baseline", f"{result.running}: what runs today, beside the trials"
        elif result.winner != result.baseline:
            yield "baseline", f"trial {result.baseline}: {describe(by_number[result.baseline].spec)}"
        yield "gain", describe_gain(result)
    if result.corrected is not None:
        yield "by people", _describe_corrected(result.corrected)
    for name, gain in result.gains.items():
        if result.winner != result.baseline:
            yield f"gain in {name}", f"{gain.mean:+.4g}, 95 % interval [{gain.low:+.4g}, {gain.high:+.4g}]"
    if result.offer is not None:
        yield "cheaper", _describe_offer(result.offer)
    if result.indistinguishable:
        among = f"{len(result.indistinguishable)} of {result.tried} that could have won"
        alike = "statistically indistinguishable from the winner"
        yield "maybe as good", f"{_listed(result.indistinguishable)} ({among}): {alike}"
    for number, excesses in result.outside.items():
        broken = ", ".join(f"{name} by {excess:.3g}" for name, excess in excesses.items())
        yield "outside", f"trial {number} is outside a guard: {broken}"


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_LISTED]))
    more = f" and {len(numbers) - _LISTED} more" if len(numbers) > _LISTED else ""
    return f"trial{'s' if len(numbers) > 1 else ''} {shown}{more}"


def _notes(result: Result, questions: Sequence[str]) -> Iterator[tuple[str, str]]:
    if result.refusal_auc is not None:
        auc, low, high = result.refusal_auc
        known = f"AUC {auc:.2f}, 95 % interval [{low:.2f}, {high:.2f}]; 0.5 is chance"
        yield "refusals", f"how well the winner can tell what it cannot answer: {known}"
    if result.spent:
        yield "models", f"{describe_spending(result.spent)}, of the whole study"
    for note in questions:
        yield "questions", note
    if result.unfinished:
        yield "unfinished", result.unfinished
    for text in result.damage:
        yield "damage", text


def describe_gain(result: Result) -> str:
    """Return the gain, what it is about and how sure it is, in words."""
    where = f"{result.questions} {'held-out' if result.on_held_out else 'search'} questions"
    needed = result.questions_to_tell
    enough = f"; about {needed:,} held-out questions would tell" if needed is not None else ""
    if result.winner == result.baseline:
        if not result.finalists:
            return "none: nothing else could be compared"
        if result.verdict == "baseline stands":
            return f"none: the baseline stands, nothing that was tried is better on {where}"
        return f"undecided: a finalist may be better, but {where} cannot tell{enough}; the baseline is kept"
    gain = result.gain
    measured = f"{result.expected_gain * 100:+.1f} points expected (measured {gain.mean * 100:+.1f} on {where}"
    if not math.isfinite(gain.low):
        return f"{measured}); undecided: questions in so few split units say nothing of how sure that is{enough}"
    interval = f"95 % interval {gain.in_points} for all {result.finalists} at once)"
    return f"{measured}, {interval}: {_describe_verdict(result, enough)}"


def _describe_verdict(result: Result, enough: str) -> str:
    if result.verdict == "clear":
        return f"clear, for {result.claim}"
    if result.verdict == "baseline stands":
        return "worse than what runs today; keep that"
    kept = f"the baseline can be exported instead: --trial {result.baseline}"
    kept = "what runs today is as good a choice" if result.running else kept
    return f"undecided{_reason_undecided(result)}{enough}; {kept}"


def _reason_undecided(result: Result) -> str:
    """Return why a gain is undecided although its interval lies above zero; empty where it does not."""
    if result.gain.low <= 0:
        return ""
    if not result.on_held_out:
        return ", since the search optimised these questions"
    if not result.gain.is_above_zero:
        return f", since these are only {result.gain.clusters} split units"
    return ", since scores that are missing could undo it"


def _describe_corrected(corrected: CorrectedGain) -> str:
    """Return what the gain is when people's labels of the judge's answers are counted."""
    labels = (
        f"{corrected.winner_labels} labels of the winner's answers and {corrected.baseline_labels} of the baseline's"
    )
    if corrected.interval is None:
        return f"not corrected for the judge's error: {labels}, where {MIN_LABELS} of each are needed"
    gain = corrected.interval
    return f"{gain.mean * 100:+.1f} points, 95 % interval {gain.in_points}: corrected for the judge's error by {labels}"


def _describe_offer(offer: Offer) -> str:
    saved = [
        f"{_COST_NAMES[name]} {theirs:,.4g} instead of {ours:,.4g}"
        for name, (ours, theirs) in offer.costs.items()
        if theirs < ours
    ]
    return f"trial {offer.trial} needs less ({', '.join(saved)}) and loses {offer.loses * 100:.1f} points: not chosen"


def _front(result: Result, by_number: Mapping[int, Trial], objectives: Sequence[str]) -> list[Table | str]:
    """Return, with several objectives, the trials that none beats in all of them."""
    if not result.front:
        return []
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left", header_style="dim")
    table.add_column("front")
    for name in objectives:
        table.add_column(name, justify="right")
    table.add_column("", overflow="fold")
    for number in result.front:
        trial = by_number[number]
        style = "bold" if number == result.winner else ""
        table.add_row(
            f"trial {number}", *(f"{value:,.4g}" for value in trial.values or ()), describe(trial.spec), style=style
        )
    return ["", table, f"finalists were taken from all over the front; the best {objectives[0]} of them wins"]


def _side_by_side(result: Result, objective: str) -> Table:
    """Return both on the same questions: a gain bought with wrong refusals or a long context shows here."""
    which = "held-out" if result.on_held_out else "search (none were left aside)"
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left", header_style="dim")
    table.add_column(f"on {result.questions} {which} questions")
    shown = [number for number in dict.fromkeys((result.baseline, result.winner)) if number is not None]
    for number in shown:
        table.add_column("winner" if number == result.winner else "baseline", justify="right")
    table.add_row(objective, *(f"{result.held_out_means[number]:.4f}" for number in shown), style="bold")
    table.add_row("the same in the search", *(f"{result.searched_means[number]:.4f}" for number in shown))
    table.add_row("on all questions", *(f"{result.pooled_means[number]:.4f}" for number in shown), style="bold")
    for metric, name, written in METRICS_BESIDE:
        numbers = [result.metrics[number].get(metric) for number in shown]
        known = [number for number in numbers if number is not None]
        if len(known) == len(shown) and (any(known) or not metric.startswith("cost/")):
            scale = 1000 if metric == "cost/usd" else 1
            counts = [result.scored.get(number, {}).get(metric, result.questions) for number in shown]
            of_some = f", of {min(counts)}" if min(counts) < result.questions else ""
            table.add_row(f"{name}{of_some}", *(written.format(number * scale) for number in known))
    return table
