"""The search space: slot -> kind -> parameter -> choices or range. A tree; only the chosen branch is sampled."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rag_opt.core import strict as config
from rag_opt.core.errors import BadInput, Problem, among
from rag_opt.core.registry import lookup
from rag_opt.pipeline.spec import LEFT_OUT, SLOTS
from rag_opt.study.space.domains import Choice, Domain, Range, Scalar, below, drawn, read_domain, some_values, written

_ABSENT = object()
SpecDict = dict[str, dict[str, dict[str, Any]]]


Tree = dict[str, dict[str, dict[str, Domain]]]


@dataclass(frozen=True)
class Space:
    """`forbid`: partial specs that are not tried. `impossible`: why a pipeline cannot exist, in words, or nothing;
    what models read and can do is not known to a space.
    """

    tree: Tree
    forbid: tuple[Mapping[str, Any], ...] = ()
    impossible: Callable[[SpecDict], str] = field(default=lambda _: "", compare=False)

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
            given = data.get(slot) or rest.get(slot) or LEFT_OUT.get(slot) or {}
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

    def draw(self, random: np.random.Generator, *, but: Collection[str] = ()) -> SpecDict:
        """A pipeline at random, or all of it but some slots: each kind of a slot, then each value of its parameters,
        as likely as the others.
        """
        return {slot: self.draw_part(slot, random) for slot in self.tree if slot not in but}

    def draw_part(self, slot: str, random: np.random.Generator) -> dict[str, dict[str, Scalar]]:
        kinds = self.tree[slot]
        kind = next(iter(kinds)) if len(kinds) == 1 else list(kinds)[below(random, len(kinds))]
        return {kind: {name: drawn(domain, random) for name, domain in kinds[kind].items()}}

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
                # a sampler's sum of steps, as everywhere without its rounding noise
                number = isinstance(domain, Range) and isinstance(value, (int, float))
                settings[name] = domain.clean(value) if number else value  # type: ignore[union-attr,arg-type]
            spec[slot] = {kind: settings}
        return spec

    def forbidden(self, spec: SpecDict) -> str:
        """What rules this pipeline out, in words; empty when it may be tried."""
        for partial in self.forbid:
            if all(_fits(spec[slot], wanted) for slot, wanted in partial.items()):
                return f"the space forbids {dict(partial)!r}"
        return self.impossible(spec)

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
            slot: {kind: {name: written(domain) for name, domain in sorted(ps.items())} for kind, ps in kinds.items()}
            for slot, kinds in self.tree.items()
        }
        return {**tree, "forbid": [dict(partial) for partial in self.forbid]}


def _branch_size(parameters: Mapping[str, Domain]) -> int:
    return math.prod(len(domain) for domain in parameters.values())


def _fits(part: dict[str, dict[str, Any]], wanted: Any) -> bool:
    ((kind, settings),) = part.items()
    kinds = _as_kinds(wanted)
    return kind in kinds and all(settings.get(name) == value for name, value in kinds[kind].items())


def _default(slot: str, kind: str, name: str) -> Choice:
    return _defaults(slot, kind)[name]


@functools.cache  # a part's settings do not change; a registered name keeps its part
def _defaults(slot: str, kind: str) -> dict[str, Choice]:
    fields: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(lookup(slot, kind))}
    return {name: Choice((default,)) for name, default in fields.items()}


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
    for name, given in parameters.items():
        if name not in names:
            problems.append(Problem(f"{where}.{name}", f"{kind} has no parameter {name!r}{among(name, names)}"))
            continue
        try:
            domains[name] = read_domain(given, where=f"{where}.{name}", real=name in real)
        except BadInput as error:
            problems += error.problems
    some = {name: some_values(domain)[0] for name, domain in domains.items()}
    if not problems:
        try:  # what must be given and is not
            config.load(part, some, path=where)
        except BadInput as error:
            problems += error.problems
    for name, domain in domains.items():
        for value in some_values(domain):
            try:
                config.load(part, {**some, name: value}, path=where)
            except BadInput as error:
                problems += [p for p in error.problems if p not in problems]
    if problems:
        raise BadInput(problems)
    return domains


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
