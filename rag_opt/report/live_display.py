"""The live display of a search: a changing view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import statistics
import sys
import time
from collections import deque
from collections.abc import Collection, Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from rag_opt.models.llm.budget import Budget, BudgetTracker, Usage
from rag_opt.pipeline.spec import SpecDict
from rag_opt.study.descriptions import describe, embedding_work
from rag_opt.study.sweep import Sweep
from rag_opt.study.trials import INDEX_RECALL, Trial


class LiveDisplay:
    """A watcher of the search. Finished trials are lines that stay; below them stands what goes on now.

    `total`: pipelines to try; `sign`: +1 when higher is better; `searched`: paths of what the space leaves to choose,
    which alone is shown of a pipeline. Elsewhere than on a terminal there are the lines alone.
    """

    def __init__(
        self,
        *,
        study: str,
        total: int,
        done: int,
        sign: int,
        budget_tracker: BudgetTracker | None = None,
        console: Console | None = None,
        searched: Collection[str] | None = None,
        objective: str = "the objective",
    ) -> None:
        self.console = console or Console(file=sys.stdout, highlight=False)
        self._live: Live | None = None
        self._budget_tracker = budget_tracker or BudgetTracker()
        self._total, self._done, self._sign = total, done, sign
        self._searched, self._objective = searched, objective
        self._best: Trial | None = None
        self._now = "starting"
        self._embedding = ""
        self._seconds: deque[float] = deque(maxlen=20)
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=40), TextColumn("{task.fields[left]}"))
        self._progress = Progress(*columns)
        self._bar = self._progress.add_task(study, total=total, completed=done, left="")

    def __enter__(self) -> LiveDisplay:
        legend = (
            f"value: {self._objective}; embedded: texts run through a model; reused: share that the store had; "
            "pipeline: what the space leaves to choose. From a second terminal: python -m rag_opt.report (--help)"
        )
        self.console.print(Text(legend, style="dim"), soft_wrap=not self.console.is_terminal)
        self.console.print(Text(" no.   value     time  embedded  reused  pipeline", style="dim"))
        if self.console.is_terminal:
            self._live = Live(get_renderable=self._view, console=self.console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)
            self._live = None

    def note_best(self, trials: list[Trial]) -> None:
        """Count trials of an earlier run for the best so far."""
        for trial in trials:
            self._consider(trial)

    def _consider(self, trial: Trial) -> bool:
        better = (
            trial.value is not None
            and not trial.outside
            and (self._best is None or self._sign * trial.value > self._sign * (self._best.value or 0))
        )
        if better:
            self._best = trial
        return better

    def trial_started(self, number: int, spec: SpecDict, origin: str) -> None:
        """Show which pipeline is tried."""
        self._now, self._embedding = f"trial {number} ({origin}): {self._describe(spec)}", ""
        self._refresh()

    def trial_finished(self, trial: Trial, done: int) -> None:
        """Print the line of a finished trial."""
        self._done = done
        self._seconds.append(trial.seconds)
        self._now, self._embedding = "choosing the next pipeline", ""
        self.console.print(self._line(trial, best=self._consider(trial)), soft_wrap=self._live is None)
        self._refresh()

    def note(self, text: str) -> None:
        """Print a note."""
        self.console.print(Text(f"      note: {text}", style="yellow"), soft_wrap=True)

    def sweep_finished(self, number: int, sweep: Sweep) -> None:
        """Print how many settings were swept, and the best one on the evidence."""
        kind, settings, *_ = sweep.data[0]
        words = f"{len(sweep.data)} settings of trial {number}'s lists swept; on evidence {kind}({settings}) is best"
        self.console.print(Text(f"      {words}", style="dim"), soft_wrap=True)

    def show_embedding(self, done: int, total: int) -> None:
        """Show how many texts are embedded."""
        self._embedding = f"embedding {done:,} of {total:,} texts" if done < total else ""
        self._refresh()

    def say(self, text: str) -> None:
        """Show what goes on now."""
        self._now, self._embedding = text, ""
        if self._live is None:
            self.console.print(text, soft_wrap=True)
        self._refresh()

    def _line(self, trial: Trial, *, best: bool) -> Text | Table:
        value = "  --  " if trial.value is None else f"{trial.value:.4f}"
        embedded, reused = embedding_work(trial)
        style = "bold green" if best else "red" if trial.state == "FAIL" else ""
        facts = Text(f"{trial.number:>4}  {value}  {trial.seconds:5.1f} s", style=style)
        facts.append(f"  {embedded:>8,}  {reused:>6.0%}  ", style="dim")
        words = Text(self._describe(trial.spec) if trial.in_space else describe(trial.spec))
        if trial.truncated_chunks:
            words.append(f"  {trial.truncated_chunks} chunks are longer than the model reads", style="yellow")
        if trial.approximate_indexes:
            recall = trial.metrics.get(INDEX_RECALL)
            found = "" if recall is None else f" that finds {recall:.1%} of the nearest"
            words.append(f"  searched approximately, by a graph{found}", style="yellow")
        if trial.failures:
            why, count = next(iter(trial.failures.items()))
            words.append(
                f"  {sum(trial.failures.values())} not answered, judged or used; {count} x {why}", style="yellow"
            )
        if trial.outside:
            guards = ", ".join(f"{name} by {excess:.2g}" for name, excess in trial.outside.items())
            words.append(f"  cannot win: outside guard {guards}", style="yellow")
        if trial.reason:
            words.append(f"  {trial.state}: {trial.reason.splitlines()[0]}", style="red")
        if self._live is None:
            return facts.append(words)
        line = Table.grid()  # so that a long pipeline goes on below its beginning
        line.add_column(width=len(facts.plain), no_wrap=True)
        line.add_column()
        line.add_row(facts, words)
        return line

    def _describe(self, spec: SpecDict) -> str:
        return describe(spec, self._searched) or describe(spec)

    def _view(self) -> Group:
        left = self._total - self._done
        words = f"{self._done}/{self._total} pipelines"
        if self._seconds and left > 0:
            words += f", about {_clock(left * statistics.median(self._seconds))} left"
        spent = self._budget_tracker.total
        if spent.calls:
            words += f"; models: {describe_usage(spent, self._budget_tracker.budget)}"
        self._progress.update(self._bar, completed=self._done, left=words)
        best = "none yet" if self._best is None else f"{self._best.value:.4f}  {self._describe(self._best.spec)}"
        now = f"{self._now}; {self._embedding}" if self._embedding else self._now
        lines = [Text(f"best   {best}", style="bold green"), Text(f"now    {now}")]
        return Group(Text(), self._progress, *(Text(line.plain, style=line.style, no_wrap=True) for line in lines))

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.refresh()


def describe_usage(spent: Usage, budget: Budget | None = None) -> str:
    """Return calls, tokens and dollars in words, each with its cap where there is one."""
    caps = budget or Budget()
    calls = f"{spent.calls:,}{f' of {caps.calls:,}' if caps.calls else ''} calls"
    usd = f", ${_money(spent.usd)}{f' of ${_money(caps.usd)}' if caps.usd else ''}" if spent.usd or caps.usd else ""
    return f"{calls}, {spent.input_tokens:,} tokens read and {spent.output_tokens:,} written{usd}"


def _money(usd: float) -> str:
    return f"{usd:,.2f}" if usd >= 1 or not usd else f"{usd:.2g}"


def describe_spending(spent: Mapping[str, float]) -> str:
    """Return in words what numbers by who asked and what (`judge/usd`) come to."""
    names = ("calls", "input_tokens", "output_tokens")
    sums = {name: sum(v for key, v in spent.items() if key.endswith(f"/{name}")) for name in (*names, "usd")}
    calls, given, made = (int(sums[name]) for name in names)
    return describe_usage(Usage(calls, given, made, sums["usd"]))


def _clock(seconds: float) -> str:
    return time.strftime("%M:%S" if seconds < 3600 else "%H:%M:%S", time.gmtime(seconds))
