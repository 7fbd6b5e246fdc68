"""Filters: what the metadata of a document must say for it to be returned.

A filter names a piece of metadata, and a value that it equals, or a condition: `{"in": [values]}`, a range by `gt`,
`gte`, `lt` and `lte` of numbers or of texts (by code point), or `{"absent": true}`. Types are kept: `true` is not 1 and
"1" is not 1, while 1 equals 1.0. Nothing but `absent` fits a document that lacks the name, or has null there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeGuard

from rag_opt.core.errors import BadInput, Problem, suggest_names

Scalar = str | int | float | bool
SYMBOLS = MappingProxyType({"gt": ">", "gte": ">=", "lt": "<", "lte": "<="})  # of the operators, as SQL writes them
_FORMS = ("in", *SYMBOLS, "absent")
_EXAMPLES = "{'in': [values]}, {'gte': 1, 'lt': 5}, {'absent': true}"


@dataclass(frozen=True)
class OneOf:
    """Metadata that equal one of some values."""

    name: str
    values: tuple[Scalar, ...]

    def fits(self, metadata: Mapping[str, object]) -> bool:
        """Return whether a document with these metadata may be returned."""
        found = metadata.get(self.name)
        return any(are_equal(found, value) for value in self.values)


@dataclass(frozen=True)
class Within:
    """Metadata inside a range: of numbers, or of texts. Each bound is an operator (`gte`, …) and its value."""

    name: str
    bounds: tuple[tuple[str, str | int | float], ...]

    @property
    def of_texts(self) -> bool:
        """Whether texts are compared; else numbers are."""
        return isinstance(self.bounds[0][1], str)

    def fits(self, metadata: Mapping[str, object]) -> bool:
        """Return whether a document with these metadata may be returned."""
        found = metadata.get(self.name)
        if not is_scalar(found) or isinstance(found, bool) or isinstance(found, str) != self.of_texts:
            return False
        return all(_compare(found, operator, value) for operator, value in self.bounds)


@dataclass(frozen=True)
class Absent:
    """Metadata that do not have a name, or have null there."""

    name: str

    def fits(self, metadata: Mapping[str, object]) -> bool:
        """Return whether a document with these metadata may be returned."""
        return metadata.get(self.name) is None


Condition = OneOf | Within | Absent


def read_conditions(filters: Mapping[str, object], *, where: str = "filters") -> tuple[Condition, ...]:
    """Return the conditions of some filters; all of them must fit. Raises BadInput with every problem."""
    problems: list[Problem] = []
    conditions: list[Condition] = []
    for name, given in filters.items():
        try:
            conditions.append(_read(name, given, f"{where}.{name}"))
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)
    return tuple(conditions)


def fit(metadata: Mapping[str, object], conditions: tuple[Condition, ...]) -> bool:
    """Return whether metadata fit every condition."""
    return all(condition.fits(metadata) for condition in conditions)


def _read(name: str, given: object, where: str) -> Condition:
    if is_scalar(given):
        return OneOf(name, (given,))
    if given is None:
        raise _refusal(where, "null equals nothing: {'absent': true} finds documents without it")
    if not isinstance(given, Mapping) or not given:
        raise _refusal(where, f"is {given!r}: give a value, or a condition as {_EXAMPLES}")
    for key in given:
        if key not in _FORMS:
            raise _refusal(where, f"has {key!r}{suggest_names(key, _FORMS)}")
    alone = next((form for form in ("in", "absent") if form in given), None)
    if alone is not None and len(given) > 1:
        raise _refusal(where, f"{alone!r} stands alone: give each condition one form")
    if alone == "absent":
        if given["absent"] is not True:
            raise _refusal(f"{where}.absent", f"is {given['absent']!r}: only true can be said")
        return Absent(name)
    return _read_values(name, given["in"], f"{where}.in") if alone == "in" else _read_range(name, given, where)


def _read_values(name: str, values: object, where: str) -> OneOf:
    if not isinstance(values, list | tuple) or not values or not all(is_scalar(value) for value in values):
        raise _refusal(where, f"is {values!r}: a list of one or more texts, numbers, true or false")
    return OneOf(name, tuple(values))


def _read_range(name: str, given: Mapping[str, object], where: str) -> Within:
    bounds: list[tuple[str, str | int | float]] = []
    for operator, value in given.items():
        if not is_scalar(value) or isinstance(value, bool):
            raise _refusal(f"{where}.{operator}", f"is {value!r}: a number or a text")
        bounds.append((operator, value))
    if len({isinstance(value, str) for _, value in bounds}) > 1:
        raise _refusal(where, "compares with a number and with a text; a range is of one of them")
    return Within(name, tuple(bounds))


def _refusal(where: str, what: str) -> BadInput:
    return BadInput([Problem(where, what)])


def is_scalar(value: object) -> TypeGuard[Scalar]:
    """Return whether a value is a text, a finite number, true or false: what filters compare."""
    return isinstance(value, str | int | bool) or (isinstance(value, float) and math.isfinite(value))


def are_equal(found: object, value: object) -> bool:
    """Return whether two values are equal and, as true is not 1, of the same kind."""
    return found is not None and found == value and isinstance(found, bool) == isinstance(value, bool)


def _compare(found: object, operator: str, value: object) -> bool:
    order: int = (found > value) - (found < value)  # type: ignore[operator]  # both numbers, or both texts
    return {"gt": order > 0, "gte": order >= 0, "lt": order < 0, "lte": order <= 0}[operator]
