"""Guards: how much worse than the baseline a winner may be in a metric, whatever the objective says of it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge, Gt
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.strict import STRICT

OF_ANSWERS = ("refused_answerable", "answer_words")  # guards of every search that look at answers
COVERAGE = "coverage"  # the share of the questions that the objective could score


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Guard:
    """Limits of one metric. `rise`, `fall` and `times` compare with the baseline on the same questions."""

    rise: Annotated[float | None, Ge(0), Doc("How far above the baseline's it may be, in units of the metric.")] = None
    fall: Annotated[float | None, Ge(0), Doc("How far below the baseline's it may be, in units of the metric.")] = None
    times: Annotated[float | None, Gt(0), Doc("How many times the baseline's it may be.")] = None
    at_least: Annotated[float | None, Doc("The least that it may be.")] = None
    at_most: Annotated[float | None, Doc("The most that it may be.")] = None

    def excess(self, value: float, baseline: float | None) -> float:
        """Return how far a value is outside, in units of the metric; 0 or less inside. Above 0 for NaN."""
        over = [] if self.at_least is None else [self.at_least - value]
        over += [] if self.at_most is None else [value - self.at_most]
        if baseline is not None and not math.isnan(baseline):
            over += [] if self.rise is None else [value - baseline - self.rise]
            over += [] if self.fall is None else [baseline - self.fall - value]
            over += [] if self.times is None else [value - baseline * self.times]
        return 1.0 if math.isnan(value) else max(over, default=0.0)

    def __str__(self) -> str:
        written = {
            "at most {:g} above the baseline's": self.rise,
            "at most {:g} below the baseline's": self.fall,
            "at most {:g} times the baseline's": self.times,
            "at least {:g}": self.at_least,
            "at most {:g}": self.at_most,
        }
        return ", ".join(words.format(limit) for words, limit in written.items() if limit is not None)


def default_guards() -> dict[str, Guard | None]:
    """Return the guards of every search: no winner that refuses, fails, reads or says far more than the baseline."""
    return {
        "refused_answerable": Guard(rise=0.05),
        COVERAGE: Guard(at_least=0.95),
        "context_tokens": Guard(times=4.0),
        "answer_words": Guard(times=4.0),
    }


@dataclass(frozen=True)
class Guards:
    """Guards by the name of their metric, with or without the part before its slash."""

    limits: Mapping[str, Guard] = field(default_factory=dict)

    def excesses(self, metrics: Mapping[str, float], baseline: Mapping[str, float] | None) -> dict[str, float]:
        """Return by guard how far some metrics are outside of it, 0 or less inside.

        A guard whose metric is not there says nothing: it is of finalists alone, or applies to no question.
        """
        excesses = {}
        for name, guard in self.limits.items():
            key = find_metric(name, metrics)
            if key is not None:
                excesses[name] = guard.excess(metrics[key], baseline.get(key) if baseline is not None else None)
        return excesses

    def broken(self, metrics: Mapping[str, float], baseline: Mapping[str, float] | None) -> dict[str, float]:
        """Return by guard how far some metrics are outside of it, those that are kept left out."""
        return {name: excess for name, excess in self.excesses(metrics, baseline).items() if excess > 0}

    def validate_names(self, known: Collection[str]) -> list[str]:
        """Return the guards whose metric is none of those that are `known`: they may be of finalists alone.

        Raises BadInput for one that has nearly the name of a metric.
        """
        names = [name.rpartition("/")[2] for name in known]
        unknown = [name for name in self.limits if find_metric(name, known) is None]
        near = {name: difflib.get_close_matches(name.rpartition("/")[2], names, n=1) for name in unknown}
        problems = [
            Problem(f"objective.guards.{name}", f"no metric is called so; did you mean {found[0]!r}? null removes it")
            for name, found in near.items()
            if found
        ]
        if problems:
            raise BadInput(problems)
        return unknown


def find_metric(name: str, metrics: Iterable[str]) -> str | None:
    """Return the whole name of a metric that may be given without the part before its slash."""
    return next((key for key in metrics if key == name or key.rpartition("/")[2] == name), None)
