"""The search space: slot -> kind -> parameter -> choices or range. A tree; only the chosen branch is sampled."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from rag_opt.core.errors import BadInput, Problem, suggest_names
from rag_opt.core.registry import lookup
from rag_opt.pipeline.feasibility import reads_vectors
from rag_opt.pipeline.spec import DEFAULT_PARTS, SLOTS, SpecDict, spec_digest
from rag_opt.study.space.domains import (
    Choice,
    Domain,
    Range,
    Scalar,
    draw_below,
    draw_value,
    write_domain,
)
from rag_opt.study.space.reading import Kinds, find_forbid_problems, read_kinds, settings_by_kind

Tree = dict[str, Kinds]
_ABSENT = object()
_EMBEDDER = "embedder"
_NO_EMBEDDER: dict[str, dict[str, object]] = {"none": {}}


@dataclass(frozen=True)
class Space:
    """Pipelines that a search may try.

    An embedder is chosen only where a part of the pipeline reads vectors; elsewhere it is `none`.

    `forbid`: partial pipelines that are not tried. `reason_impossible` says why a pipeline cannot exist, in words, or
    nothing; `identify` gives a hash that is equal for pipelines which do the same: neither what models read and can do
    nor the documents are known to a space.
    """

    tree: Tree
    forbid: tuple[Mapping[str, object], ...] = ()
    reason_impossible: Callable[[SpecDict], str] = field(default=lambda _: "", compare=False)
    identify: Callable[[SpecDict], str] = field(default=spec_digest, compare=False)

    @staticmethod
    def from_dict(
        data: Mapping[str, object], *, rest: Mapping[str, object], only: Mapping[str, str | Sequence[str] | None]
    ) -> Space:
        """Return the space that a config describes.

        `rest`: the pipeline that gives the slots which the space leaves out. `only`: kinds that are kept, by slot.
        Raises BadInput with all problems.
        """
        problems: list[Problem] = []
        tree: Tree = {}
        for slot in data:
            if slot not in (*SLOTS, "forbid"):
                what = f"there is no slot {slot!r}{suggest_names(slot, (*SLOTS, 'forbid'))}"
                problems.append(Problem(f"space.{slot}", what))
        for slot in SLOTS:
            given = data.get(slot) or rest.get(slot) or DEFAULT_PARTS.get(slot) or {}
            tree[slot] = read_kinds(slot, given, only.get(slot), problems)
        forbid = tuple(cast(Iterable[Mapping[str, object]], data.get("forbid") or ()))
        problems += find_forbid_problems(forbid)
        if problems:
            raise BadInput(problems)
        return Space(tree, forbid)

    def branches(self) -> Iterator[tuple[str, str, dict[str, Domain]]]:
        """Yield every (slot, kind, parameters)."""
        for slot, kinds in self.tree.items():
            for kind, parameters in kinds.items():
                yield slot, kind, parameters

    @property
    def size(self) -> int | None:
        """Number of pipelines, forbidden ones included; None when a range is continuous."""
        sizes = [self.slot_size(slot) for slot in self.tree]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def slot_size(self, slot: str) -> int | None:
        """Return how many settings a slot has; None when a range is continuous."""
        kinds = self.tree[slot].values()
        if any(isinstance(d, Range) and d.continuous for parameters in kinds for d in parameters.values()):
            return None
        return sum(_branch_size(parameters) for parameters in kinds)

    def at(self, index: int) -> SpecDict:
        """Return the pipeline with this number, from 0 to size - 1."""
        spec: SpecDict = {}
        for slot, kinds in self.tree.items():
            index, rest = divmod(index, sum(_branch_size(parameters) for parameters in kinds.values()))
            for kind, parameters in kinds.items():
                size = _branch_size(parameters)
                if rest >= size:
                    rest -= size
                    continue
                settings: dict[str, Scalar] = {}
                for name, domain in parameters.items():
                    rest, value_number = divmod(rest, len(domain))
                    settings[name] = domain.at(value_number)
                spec[slot] = {kind: settings}
                break
        return spec if self.reads_vectors(spec) else {**spec, _EMBEDDER: _NO_EMBEDDER}

    def draw(self, random: np.random.Generator) -> SpecDict:
        """Return a random pipeline. Each kind of a slot is as likely as its others, and each value of a parameter."""
        return self.complete({slot: self.draw_part(slot, random) for slot in self.tree}, random)

    def reads_vectors(self, spec: SpecDict) -> bool:
        """Return whether a part of a pipeline is handed vectors of its embedder, which is not looked at."""
        return any(self.kind_reads_vectors(slot, kind) for slot, part in spec.items() for kind in part)

    def kind_reads_vectors(self, slot: str, kind: str) -> bool:
        """Return whether a kind of a slot is handed vectors of the embedder."""
        return slot != _EMBEDDER and _reads_vectors(slot, kind)

    def complete(self, spec: SpecDict, random: np.random.Generator) -> SpecDict:
        """Return the pipeline with an embedder where one is needed, drawn if it had none, and else with none."""
        if not self.reads_vectors(spec):
            return {**spec, _EMBEDDER: _NO_EMBEDDER}
        models = [kind for kind in self.tree[_EMBEDDER] if kind != "none"]
        if "none" not in spec[_EMBEDDER] or not models:
            return spec
        kind = models[draw_below(random, len(models))]
        return {**spec, _EMBEDDER: {kind: self.draw_settings(_EMBEDDER, kind, random)}}

    def draw_part(self, slot: str, random: np.random.Generator) -> dict[str, dict[str, Scalar]]:
        """Return a random kind of a slot with random settings."""
        kinds = self.tree[slot]
        kind = next(iter(kinds)) if len(kinds) == 1 else list(kinds)[draw_below(random, len(kinds))]
        return {kind: self.draw_settings(slot, kind, random)}

    def draw_settings(self, slot: str, kind: str, random: np.random.Generator) -> dict[str, Scalar]:
        """Return random settings of a kind."""
        return {name: draw_value(domain, random) for name, domain in self.tree[slot][kind].items()}

    def parameters(self, spec: SpecDict) -> dict[str, tuple[Scalar, Domain]] | None:
        """Return path -> (value, domain) of everything that was chosen for a pipeline; None if it is not of this space.

        A slot with one kind, a parameter with one value and an embedder that is not needed are not choices and do not
        appear.
        """
        chosen: dict[str, tuple[Scalar, Domain]] = {}
        for slot, kinds in self.tree.items():
            ((kind, settings),) = (spec.get(slot) or DEFAULT_PARTS[slot]).items()
            if slot == _EMBEDDER and kind == "none" and not self.reads_vectors(spec):
                continue
            if kind not in kinds:
                return None
            if len(kinds) > 1:
                chosen[slot] = (kind, Choice(tuple(kinds)))
            for name, value in settings.items():
                domain = kinds[kind].get(name, _default_domain(slot, kind, name))
                if value not in domain:
                    return None
                if not (isinstance(domain, Choice) and len(domain) == 1):
                    chosen[f"{slot}.{kind}.{name}"] = (value, domain)
        return chosen

    def spec_from_parameters(self, values: Mapping[str, object]) -> SpecDict | None:
        """Return the pipeline of some values by path, as `parameters` names them; None if some are missing."""
        spec: SpecDict = {}
        for slot in self.slots_in_turn:
            if slot == _EMBEDDER and not self.reads_vectors(spec):
                spec[slot] = _NO_EMBEDDER
                continue
            part = self._part_from_parameters(slot, values)
            if part is None:
                return None
            spec[slot] = part
        return {slot: spec[slot] for slot in self.tree}

    @property
    def slots_in_turn(self) -> list[str]:
        """Slots in the order in which they are chosen: the embedder last, since others decide whether there is one."""
        return sorted(self.tree, key=lambda slot: slot == _EMBEDDER)

    def _part_from_parameters(self, slot: str, values: Mapping[str, object]) -> dict[str, dict[str, object]] | None:
        kinds = self.tree[slot]
        kind = next(iter(kinds)) if len(kinds) == 1 else values.get(slot)
        if not isinstance(kind, str) or kind not in kinds:
            return None
        settings: dict[str, object] = {}
        for name, domain in kinds[kind].items():
            fixed = isinstance(domain, Choice) and len(domain) == 1
            value: object = domain.at(0) if fixed else values.get(f"{slot}.{kind}.{name}", _ABSENT)
            if value is _ABSENT:
                return None
            if isinstance(domain, Range) and isinstance(value, (int, float)):  # a sampler's sum of steps
                value = domain.clean(value)
            settings[name] = value
        return {kind: settings}

    def reason_against(self, spec: SpecDict) -> str:
        """Return what rules a pipeline out, in words; empty when it may be tried."""
        for partial in self.forbid:
            if all(_matches(spec[slot], kinds) for slot, kinds in partial.items()):
                return f"the space forbids {dict(partial)!r}"
        return self.reason_impossible(spec)

    def __contains__(self, spec: SpecDict) -> bool:
        return self.parameters(spec) is not None and not self.reason_against(spec)

    def to_dict(self) -> dict[str, object]:
        """Return plain data that determine the space: a study is bound to them."""
        tree = {
            slot: {
                kind: {name: write_domain(domain) for name, domain in sorted(parameters.items())}
                for kind, parameters in kinds.items()
            }
            for slot, kinds in self.tree.items()
        }
        return {**tree, "forbid": [dict(partial) for partial in self.forbid]}


def _branch_size(parameters: Mapping[str, Domain]) -> int:
    return math.prod(len(domain) for domain in parameters.values())


@functools.cache  # a registered name keeps its part
def _reads_vectors(slot: str, kind: str) -> bool:
    """Return whether the parts of a kind read vectors: all do, or none. One that is not known here may."""
    try:
        return reads_vectors(lookup(slot, kind)())
    except (BadInput, TypeError, ValueError):  # of a plug-in that is not loaded, or without defaults
        return True


def _matches(part: Mapping[str, Mapping[str, object]], forbidden: object) -> bool:
    ((kind, settings),) = part.items()
    kinds = settings_by_kind(forbidden)
    return kind in kinds and all(settings.get(name) == value for name, value in kinds[kind].items())


def _default_domain(slot: str, kind: str, name: str) -> Choice:
    return _default_domains(slot, kind)[name]


@functools.cache  # a part's settings do not change; a registered name keeps its part
def _default_domains(slot: str, kind: str) -> dict[str, Choice]:
    fields = dataclasses.fields(lookup(slot, kind))
    return {field.name: Choice((cast(Scalar, field.default),)) for field in fields}
