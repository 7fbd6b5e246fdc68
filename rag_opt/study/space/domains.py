"""What one parameter may be: a choice of values, or a range."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rag_opt.core.errors import BadInput, Problem

Scalar = str | int | float | bool | None
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"^({_NUMBER})\.\.({_NUMBER})(?::({_NUMBER}|log))?$")


@dataclass(frozen=True)
class Choice:
    """One of `values`; a single value is fixed."""

    values: tuple[Scalar, ...]

    def __len__(self) -> int:
        return len(self.values)

    def at(self, index: int) -> Scalar:
        return self.values[index]

    def __iter__(self) -> Iterator[Scalar]:
        return iter(self.values)

    def __contains__(self, value: object) -> bool:
        return value in self.values


@dataclass(frozen=True)
class Range:
    """low to high, both included. `step` None and floats: continuous."""

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    @property
    def continuous(self) -> bool:
        return self.step is None and isinstance(self.low, float)

    def __len__(self) -> int:
        if self.continuous:
            raise OverflowError("a continuous range has no length")
        return math.floor((self.high - self.low) / (self.step or 1) + 1e-9) + 1

    def at(self, index: int) -> int | float:
        return self.clean(self.low + index * (self.step or 1))

    def clean(self, value: int | float) -> int | float:
        """Without the rounding noise of sums of steps: 0.1 + 0.2 is 0.3."""
        return value if isinstance(self.low, int) else round(float(value), 10)

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not self.low <= value <= self.high:
            return False
        if self.continuous:
            return True
        steps = (value - self.low) / (self.step or 1)
        return abs(steps - round(steps)) < 1e-6


Domain = Choice | Range


def below(random: np.random.Generator, count: int) -> int:
    """A whole number in [0, count), as `random.integers` draws it but ten times as fast for a single one."""
    return int(random.random() * count)


def drawn(domain: Domain, random: np.random.Generator) -> Scalar:
    """A value at random."""
    if isinstance(domain, Choice):
        return domain.values[0] if len(domain.values) == 1 else domain.at(below(random, len(domain)))
    if domain.log:
        low, high = np.log(domain.low), np.log(domain.high + (0 if domain.continuous else 1))
        drawn = float(np.exp(random.uniform(low, high)))
        return domain.clean(drawn) if domain.continuous else int(min(drawn, domain.high))
    if domain.continuous:
        return domain.clean(float(random.uniform(domain.low, domain.high)))
    return domain.at(below(random, len(domain)))


def written(domain: Domain) -> Any:
    """As it is written in a config."""
    if isinstance(domain, Choice):
        return list(domain.values) if len(domain) > 1 else domain.values[0]
    tail = ":log" if domain.log else f":{domain.step}" if domain.step is not None else ""
    return f"{domain.low}..{domain.high}{tail}"


def some_values(domain: Domain) -> Sequence[Scalar]:
    """All values of a choice, the ends of a range."""
    return domain.values if isinstance(domain, Choice) else (domain.low, domain.high)


def read_domain(written: Any, *, where: str, real: bool = False) -> Domain:
    """A scalar is fixed, a list is a choice, `low..high`, `low..high:step` and `low..high:log` are ranges.

    `real`: the parameter is a real number, so that 0..1 is all between 0 and 1, not two whole numbers.
    """
    if isinstance(written, list):
        if not written:
            raise BadInput([Problem(where, "is an empty list; there is nothing to choose from")])
        if len(set(map(repr, written))) != len(written) or any(isinstance(v, (list, dict)) for v in written):
            raise BadInput([Problem(where, f"is {written!r}; should be different scalars")])
        return Choice(tuple(written))
    if not isinstance(written, str) or ".." not in written:
        return Choice((written,))
    match = _RANGE.match(written.strip())
    if match is None:
        shapes = "low..high, low..high:step or low..high:log"
        raise BadInput([Problem(where, f"is {written!r}; a range is written {shapes}")])
    whole = not real and all(re.fullmatch(r"[-+]?\d+", part) for part in match.groups()[:2])
    number = int if whole else float
    low, high, tail = number(match[1]), number(match[2]), match[3]
    log = tail == "log"
    step = None if tail in (None, "log") else number(tail) if float(tail) == number(float(tail)) else float(tail)
    if low > high or (step is not None and step <= 0) or (log and low <= 0) or (whole and isinstance(step, float)):
        rule = "low <= high, step > 0 (whole for whole numbers), and low > 0 for log"
        raise BadInput([Problem(where, f"is {written!r}; should have {rule}")])
    return Range(low, high, step, log)
