"""The search space: slot -> kind -> parameter -> choices or range. A tree; only the chosen branch is sampled."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rag_opt import config
from rag_opt.errors import BadInput, Problem, among
from rag_opt.pipeline.spec import SLOTS
from rag_opt.registry import lookup

_ABSENT = object()
Scalar = str | int | float | bool | None
SpecDict = dict[str, dict[str, dict[str, Any]]]
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
Tree = dict[str, dict[str, dict[str, Domain]]]


@dataclass(frozen=True)
class Space:
    tree: Tree
    forbid: tuple[Mapping[str, Any], ...] = ()

    @staticmethod
    def from_dict(data: Mapping[str, Any], *, rest: Mapping[str, Any], only: Mapping[str, Any]) -> Space:
        """`rest`: the pipeline that gives the slots the space leaves out. Raises BadInput with all problems."""
        problems: list[Problem] = []
        tree: Tree = {}
        for slot in data:
            if slot not in (*SLOTS, "forbid"):
                what = f"there is no slot {slot!r}{among(slot, (*SLOTS, 'forbid'))}"
                problems.append(Problem(f"space.{slot}", what))
        for slot in SLOTS:
            given = data.get(slot) or rest.get(slot) or {}
            tree[slot] = _kinds(slot, given, only.get(slot), problems)
        forbid = tuple(data.get("forbid") or ())
        problems += _bad_forbids(forbid)
        if problems:
            raise BadInput(problems)
        return Space(tree, forbid)

    def branches(self) -> Iterator[tuple[str, str, dict[str, Domain]]]:
        for slot, kinds in self.tree.items():
            for kind, parameters in kinds.items():
                yield slot, kind, parameters

    @property
    def size(self) -> int | None:
        """Number of pipelines, forbidden ones included; None when a range is continuous."""
        sizes = [self.slot_size(slot) for slot in self.tree]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def slot_size(self, slot: str) -> int | None:
        """How many settings a slot has; None when a range is continuous."""
        kinds = self.tree[slot].values()
        if any(isinstance(d, Range) and d.continuous for parameters in kinds for d in parameters.values()):
            return None
        return sum(_branch_size(parameters) for parameters in kinds)

    def at(self, index: int) -> SpecDict:
        """The pipeline with this number, from 0 to size - 1."""
        spec: SpecDict = {}
        for slot, kinds in self.tree.items():
            index, place = divmod(index, sum(_branch_size(parameters) for parameters in kinds.values()))
            for kind, parameters in kinds.items():
                size = _branch_size(parameters)
                if place >= size:
                    place -= size
                    continue
                settings = {}
                for name, domain in parameters.items():
                    place, at = divmod(place, len(domain))
                    settings[name] = domain.at(at)
                spec[slot] = {kind: settings}
                break
        return spec

    def draw(self, random: np.random.Generator) -> SpecDict:
        """A pipeline at random: each kind of a slot, then each value of its parameters, as likely as the others."""
        spec: SpecDict = {}
        for slot, kinds in self.tree.items():
            kind = list(kinds)[random.integers(len(kinds))]
            spec[slot] = {kind: {name: _drawn(domain, random) for name, domain in kinds[kind].items()}}
        return spec

    def spec_of(self, parameters: Mapping[str, Any]) -> SpecDict | None:
        """The pipeline that these values by path stand for, as `parameters` gives them; None if some are missing."""
        spec: SpecDict = {}
        for slot, kinds in self.tree.items():
            kind = next(iter(kinds)) if len(kinds) == 1 else parameters.get(slot)
            if kind not in kinds:
                return None
            settings = {}
            for name, domain in kinds[kind].items():
                fixed = isinstance(domain, Choice) and len(domain) == 1
                value = domain.at(0) if fixed else parameters.get(f"{slot}.{kind}.{name}", _ABSENT)
                if value is _ABSENT:
                    return None
                settings[name] = value
            spec[slot] = {kind: settings}
        return spec

    def forbidden(self, spec: SpecDict) -> str:
        """The partial spec that rules this one out, in words; empty when it may be tried."""
        for partial in self.forbid:
            if all(_fits(spec[slot], wanted) for slot, wanted in partial.items()):
                return f"the space forbids {dict(partial)!r}"
        return ""

    def __contains__(self, spec: SpecDict) -> bool:
        return self.parameters(spec) is not None and not self.forbidden(spec)

    def parameters(self, spec: SpecDict) -> dict[str, tuple[Scalar, Domain]] | None:
        """Path -> (value, domain) of everything that was chosen for this spec; None if it is not of this space.

        A slot with one kind and a parameter with one value are not choices and do not appear.
        """
        chosen: dict[str, tuple[Scalar, Domain]] = {}
        for slot, kinds in self.tree.items():
            ((kind, settings),) = spec[slot].items()
            if kind not in kinds:
                return None
            if len(kinds) > 1:
                chosen[slot] = (kind, Choice(tuple(kinds)))
            for name, value in settings.items():
                domain = kinds[kind].get(name, _default(slot, kind, name))
                if value not in domain:
                    return None
                if not (isinstance(domain, Choice) and len(domain) == 1):
                    chosen[f"{slot}.{kind}.{name}"] = (value, domain)
        return chosen

    def to_dict(self) -> dict[str, Any]:
        """Plain data that determines the space: what a study is bound to."""
        tree = {
            slot: {kind: {name: _written(domain) for name, domain in sorted(ps.items())} for kind, ps in kinds.items()}
            for slot, kinds in self.tree.items()
        }
        return {**tree, "forbid": [dict(partial) for partial in self.forbid]}


def _drawn(domain: Domain, random: np.random.Generator) -> Scalar:
    if isinstance(domain, Choice):
        return domain.at(int(random.integers(len(domain))))
    if domain.log:
        low, high = np.log(domain.low), np.log(domain.high + (0 if domain.continuous else 1))
        drawn = float(np.exp(random.uniform(low, high)))
        return domain.clean(drawn) if domain.continuous else int(min(drawn, domain.high))
    if domain.continuous:
        return domain.clean(float(random.uniform(domain.low, domain.high)))
    return domain.at(int(random.integers(len(domain))))


def _branch_size(parameters: Mapping[str, Domain]) -> int:
    return math.prod(len(domain) for domain in parameters.values())


def _fits(part: dict[str, dict[str, Any]], wanted: Any) -> bool:
    ((kind, settings),) = part.items()
    kinds = _as_kinds(wanted)
    return kind in kinds and all(settings.get(name) == value for name, value in kinds[kind].items())


def _default(slot: str, kind: str, name: str) -> Choice:
    fields: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(lookup(slot, kind))}
    return Choice((fields[name],))


def _written(domain: Domain) -> Any:
    if isinstance(domain, Choice):
        return list(domain.values) if len(domain) > 1 else domain.values[0]
    tail = ":log" if domain.log else f":{domain.step}" if domain.step is not None else ""
    return f"{domain.low}..{domain.high}{tail}"


def _kinds(slot: str, given: Any, only: Any, problems: list[Problem]) -> dict[str, dict[str, Domain]]:
    if isinstance(given, str):
        given = {given: {}}
    if not isinstance(given, Mapping):
        problems.append(Problem(f"space.{slot}", f"is {given!r}; should be kinds with their parameters"))
        return {}
    kept = {str(kind): parameters for kind, parameters in given.items() if parameters is not None}
    wanted = [only] if isinstance(only, str) else only
    if wanted is not None:
        for kind in wanted:
            if kind not in kept:
                what = f"the space has no {slot} {kind!r}{among(kind, kept)}"
                problems.append(Problem(f"only.{slot}", what))
        kept = {kind: parameters for kind, parameters in kept.items() if kind in wanted}
    if not kept and not problems:
        problems.append(Problem(f"space.{slot}", "no kind is left to choose from"))
    read = {}
    for kind, parameters in sorted(kept.items()):  # sorted: the order in a file means nothing, also not to a sampler
        try:
            read[kind] = _branch(slot, kind, parameters)
        except BadInput as error:
            problems += error.problems
    return read


def _branch(slot: str, kind: str, parameters: Any) -> dict[str, Domain]:
    """The domains of one kind's parameters, every value that can be listed checked against the part."""
    where = f"space.{slot}.{kind}"
    part = lookup(slot, kind, where=where)
    if not isinstance(parameters, Mapping):
        raise BadInput([Problem(where, f"is {parameters!r}; should be parameters with their values")])
    problems: list[Problem] = []
    domains: dict[str, Domain] = {}
    names = config.field_names(part)
    real = {field.name for field in dataclasses.fields(part) if isinstance(field.default, float)}
    for name, written in parameters.items():
        if name not in names:
            problems.append(Problem(f"{where}.{name}", f"{kind} has no parameter {name!r}{among(name, names)}"))
            continue
        try:
            domains[name] = read_domain(written, where=f"{where}.{name}", real=name in real)
        except BadInput as error:
            problems += error.problems
    some = {name: _checkable(domain)[0] for name, domain in domains.items()}
    for name, domain in domains.items():
        for value in _checkable(domain):
            try:
                config.load(part, {**some, name: value}, path=where)
            except BadInput as error:
                problems += [p for p in error.problems if p not in problems]
    if problems:
        raise BadInput(problems)
    return domains


def _checkable(domain: Domain) -> Sequence[Scalar]:
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


def _bad_forbids(forbid: Sequence[Mapping[str, Any]]) -> list[Problem]:
    problems = []
    for number, partial in enumerate(forbid):
        if not isinstance(partial, Mapping) or not all(isinstance(w, (str, list, Mapping)) for w in partial.values()):
            what = f"is {partial!r}; should be slots with kinds, as {{chunker: sentence, reranker: {{mmr: {{…}}}}}}"
            problems.append(Problem(f"space.forbid[{number}]", what))
            continue
        for slot, wanted in partial.items():
            where = f"space.forbid[{number}].{slot}"
            if slot not in SLOTS:
                problems.append(Problem(where, f"there is no slot {slot!r}{among(slot, SLOTS)}"))
                continue
            for kind, settings in _as_kinds(wanted).items():
                try:
                    names = config.field_names(lookup(slot, kind, where=where))
                except BadInput as error:
                    problems += error.problems
                    continue
                for name in settings:
                    if name not in names:
                        what = f"{kind} has no parameter {name!r}{among(name, names)}"
                        problems.append(Problem(f"{where}.{kind}.{name}", what))
    return problems


def _as_kinds(wanted: Any) -> dict[str, dict[str, Any]]:
    """A kind, a list of kinds, or kinds with settings, as the last of these."""
    if isinstance(wanted, Mapping):
        return {str(kind): dict(settings or {}) for kind, settings in wanted.items()}
    return {str(kind): {} for kind in ([wanted] if isinstance(wanted, str) else wanted)}
