"""Domains of one parameter: a choice of values, or a range of numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

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
        """Return the value with this number, from 0."""
        return self.values[index]

    def __iter__(self) -> Iterator[Scalar]:
        return iter(self.values)

    def __contains__(self, value: object) -> bool:
        return value in self.values


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included. Floats without a `step` are continuous."""

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    @property
    def continuous(self) -> bool:
        """True where there is a value between any two."""
        return self.step is None and isinstance(self.low, float)

    def __len__(self) -> int:
        if self.continuous:
            raise OverflowError("a continuous range has no length")
        return math.floor((self.high - self.low) / (self.step or 1) + 1e-9) + 1

    def at(self, index: int) -> int | float:
        """Return the value with this number, from 0."""
        return self.clean(self.low + index * (self.step or 1))

    def clean(self, value: int | float) -> int | float:
        """Return the value without the rounding noise of a sum of steps: 0.1 + 0.2 is 0.3."""
        return value if isinstance(self.low, int) else round(float(value), 10)

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not self.low <= value <= self.high:
            return False
        if self.continuous:
            return True
        steps = (value - self.low) / (self.step or 1)
        return abs(steps - round(steps)) < 1e-6


Domain = Choice | Range


def draw_below(random: np.random.Generator, count: int) -> int:
    """Return a random whole number in [0, count); ten times as fast as `random.integers` for a single one."""
    return int(random.random() * count)


def draw_value(domain: Domain, random: np.random.Generator) -> Scalar:
    """Return a random value of the domain, each as likely as the others; of a `log` range, each order of magnitude."""
    if isinstance(domain, Choice):
        return domain.values[0] if len(domain.values) == 1 else domain.at(draw_below(random, len(domain)))
    if domain.log:
        low, high = np.log(domain.low), np.log(domain.high + (0 if domain.continuous else 1))
        value = float(np.exp(random.uniform(low, high)))
        return domain.clean(value) if domain.continuous else int(min(value, domain.high))
    if domain.continuous:
        return domain.clean(float(random.uniform(domain.low, domain.high)))
    return domain.at(draw_below(random, len(domain)))


def example_values(domain: Domain) -> Sequence[Scalar]:
    """Return all values of a choice, the two ends of a range."""
    return domain.values if isinstance(domain, Choice) else (domain.low, domain.high)


def write_domain(domain: Domain) -> Scalar | list[Scalar]:
    """Return the domain as a config writes it; `read_domain` turns it back."""
    if isinstance(domain, Choice):
        return list(domain.values) if len(domain) > 1 else domain.values[0]
    tail = ":log" if domain.log else f":{domain.step}" if domain.step is not None else ""
    return f"{domain.low}..{domain.high}{tail}"


def read_domain(written: object, *, where: str, real: bool = False) -> Domain:
    """Return the domain that a config writes as `written`.

    A scalar is fixed, a list is a choice; `low..high`, `low..high:step` and `low..high:log` are ranges.
    `real`: the parameter is a real number, so that 0..1 is everything between 0 and 1, not two whole numbers.
    Raises BadInput at the path `where`.
    """
    if isinstance(written, list):
        if not written:
            raise BadInput([Problem(where, "is an empty list; there is nothing to choose from")])
        if len(set(map(repr, written))) != len(written) or any(isinstance(v, (list, dict)) for v in written):
            raise BadInput([Problem(where, f"is {written!r}; should be different scalars")])
        return Choice(tuple(written))
    if not isinstance(written, str) or ".." not in written:
        return Choice((cast(Scalar, written),))  # the part refuses what is no scalar, with its own words
    return _read_range(written, where, real)


def _read_range(written: str, where: str, real: bool) -> Range:
    match = _RANGE.match(written.strip())
    if match is None:
        shapes = "low..high, low..high:step or low..high:log"
        raise BadInput([Problem(where, f"is {written!r}; a range is written {shapes}")])
    whole = not real and all(re.fullmatch(r"[-+]?\d+", number) for number in match.groups()[:2])
    number = int if whole else float
    low, high, tail = number(match[1]), number(match[2]), match[3]
    log = tail == "log"
    step = None if tail in (None, "log") else number(tail) if float(tail) == number(float(tail)) else float(tail)
    if low > high or (step is not None and step <= 0) or (log and low <= 0) or (whole and isinstance(step, float)):
        rule = "low <= high, step > 0 (whole for whole numbers), and low > 0 for log"
        raise BadInput([Problem(where, f"is {written!r}; should have {rule}")])
    return Range(low, high, step, log)
