"""The summary at the end of a search: the winner beside the baseline, and what may be said of the difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table

from rag_opt.report.live_display import describe_spending
from rag_opt.study.bounds import CLOSED_BOOK, GOLD_CONTEXT
from rag_opt.study.descriptions import describe
from rag_opt.study.finalists import Result
from rag_opt.study.trials import Trial

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
_BESIDE = (
    ("retrieval/evidence_recall", "evidence recall", "{:.3f}"),
    ("retrieval/document_ndcg_at_10", "nDCG@10", "{:.3f}"),
    ("ragas/semantic_similarity", "semantic similarity", "{:.3f}"),
    *((f"ragas/{name}", f"{name.replace('_', ' ')}, judged", "{:.3f}") for name in _JUDGED),
    ("quality/refused_answerable", "refused wrongly", "{:.0%}"),
    ("quality/refused_unanswerable", "refused rightly", "{:.0%}"),
    ("cost/context_tokens", "context tokens", "{:,.0f}"),
    ("cost/latency_ms_p50", "latency, median", "{:.0f} ms"),
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
    table.add_row("winner", f"trial {result.winner}: {describe(result.spec)}")
    if result.baseline is None:
        table.add_row("baseline", "could not be evaluated (see the reason of trial 0), so the gain over it is unknown")
    else:
        table.add_row("baseline", f"trial {result.baseline}: {describe(by_number[result.baseline].spec)}")
        table.add_row("gain", _gain(result))
    others = [str(n) for n in result.indistinguishable if n != result.winner]
    if others:
        which = f"trial{'s' if len(others) > 1 else ''} {', '.join(others)}"
        table.add_row("as good", f"{which}: statistically indistinguishable from the winner on these questions")
    after = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, place in places.items():
        after.add_row(name, place)
    for name, value in result.bounds.items():
        table.add_row(name, f"{value:.4f}: the winner's generator with {_WITH[name]}")
    if result.spent:
        table.add_row("models", f"{describe_spending(result.spent)}, of the whole study")
    for said in questions:
        table.add_row("questions", said)
    if result.unfinished:
        table.add_row("unfinished", result.unfinished)
    beside = _side_by_side(result, by_number, objectives[0])
    return Group(table, "", beside, *_front(result, by_number, objectives), "", after)


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
    return ["", table, f"of these, the one with the best {objectives[0]} on the held-out questions is the winner"]


def _gain(result: Result) -> str:
    if result.winner == result.baseline:
        return "none: the baseline stands" if len(result.held_out_means) > 1 else "none: nothing else could be compared"
    gain = result.gain
    if not math.isfinite(gain.low):
        return f"{gain.mean * 100:+.1f} points; so few questions say nothing of how sure that is"
    ends = f"[{gain.low * 100:+.1f}, {gain.high * 100:+.1f}]"
    sure = "clear" if gain.low > 0 else "not clear: the interval reaches zero"
    return (
        f"{gain.mean * 100:+.1f} points, 95 % interval {ends} ({sure}; it holds for all {result.finalists} finalists "
        "at once, with questions about one document counted together)"
    )


def _side_by_side(result: Result, by_number: Mapping[int, Trial], objective: str) -> Table:
    """Return both on the same questions: a gain bought with wrong refusals or a long context shows here."""
    which = "held-out" if result.on_held_out else "search (none were left aside)"
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left", header_style="dim")
    table.add_column(f"on {result.questions} {which} questions")
    shown = [number for number in dict.fromkeys((result.baseline, result.winner)) if number is not None]
    for number in shown:
        table.add_column("winner" if number == result.winner else "baseline", justify="right")
    table.add_row(objective, *(f"{result.held_out_means[number]:.4f}" for number in shown), style="bold")
    searched = [by_number[number].value for number in shown]
    table.add_row("the same in the search", *("unknown" if value is None else f"{value:.4f}" for value in searched))
    for metric, name, written in _BESIDE:
        numbers = [result.metrics[number].get(metric) for number in shown]
        known = [number for number in numbers if number is not None]
        if len(known) == len(shown) and (any(known) or not metric.startswith("cost/")):
            scale = 1000 if metric == "cost/usd" else 1
            table.add_row(name, *(written.format(number * scale) for number in known))
    return table
