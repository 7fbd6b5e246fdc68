"""Reading the kinds of a slot and the forbidden pipelines from a config, every value checked against its part."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from rag_opt.core import strict
from rag_opt.core.errors import BadInput, Problem, suggest_names
from rag_opt.core.registry import lookup
from rag_opt.pipeline.spec import SLOTS
from rag_opt.study.space.domains import Domain, Scalar, example_values, read_domain

Kinds = dict[str, dict[str, Domain]]  # kind -> parameter -> domain


def read_kinds(slot: str, given: object, only: str | Sequence[str] | None, problems: list[Problem]) -> Kinds:
    """Return the kinds of one slot with their parameters. `only` these kinds are kept; None keeps all.

    A kind whose parameters are null is removed. What is wrong is added to `problems`.
    """
    if isinstance(given, str):
        given = {given: {}}
    if not isinstance(given, Mapping):
        problems.append(Problem(f"space.{slot}", f"is {given!r}; should be kinds with their parameters"))
        return {}
    kept = {str(kind): parameters for kind, parameters in given.items() if parameters is not None}
    if only is not None:
        only = [only] if isinstance(only, str) else only
        for kind in only:
            if kind not in kept:
                what = f"the space has no {slot} {kind!r}{suggest_names(kind, kept)}"
                problems.append(Problem(f"only.{slot}", what))
        kept = {kind: parameters for kind, parameters in kept.items() if kind in only}
    if not kept and not problems:
        problems.append(Problem(f"space.{slot}", "no kind is left to choose from"))
    kinds: Kinds = {}
    for kind, parameters in sorted(kept.items()):  # sorted: the order in a file means nothing, also not to a sampler
        try:
            kinds[kind] = _read_parameters(slot, kind, parameters)
        except BadInput as error:
            problems += error.problems
    return kinds


def _read_parameters(slot: str, kind: str, parameters: object) -> dict[str, Domain]:
    """Return the domains of one kind's parameters; every value that can be listed is checked by the part."""
    where = f"space.{slot}.{kind}"
    part = lookup(slot, kind, where=where)
    if not isinstance(parameters, Mapping):
        raise BadInput([Problem(where, f"is {parameters!r}; should be parameters with their values")])
    problems: list[Problem] = []
    domains: dict[str, Domain] = {}
    names = strict.field_names(part)
    real = {field.name for field in dataclasses.fields(part) if isinstance(field.default, float)}
    for name, given in parameters.items():
        if name not in names:
            problems.append(Problem(f"{where}.{name}", f"{kind} has no parameter {name!r}{suggest_names(name, names)}"))
            continue
        try:
            domains[name] = read_domain(given, where=f"{where}.{name}", real=name in real)
        except BadInput as error:
            problems += error.problems
    examples = {name: example_values(domain)[0] for name, domain in domains.items()}
    if not problems:  # what must be given and is not
        problems += [problem for problem in _load_problems(part, examples, where) if problem.where != where]
    for name, domain in domains.items():
        for value in example_values(domain):
            new = _load_problems(part, {**examples, name: value}, where)
            # a rule between settings, told of the part as a whole, rules out some combinations, not the value
            problems += [problem for problem in new if problem not in problems and problem.where != where]
    if problems:
        raise BadInput(problems)
    return domains


def _load_problems(part: type[object], settings: Mapping[str, Scalar], where: str) -> tuple[Problem, ...]:
    try:
        strict.load(part, settings, path=where)
    except BadInput as error:
        return error.problems
    return ()


def find_forbid_problems(forbid: Sequence[object]) -> list[Problem]:
    """Return what is wrong with the partial pipelines under `forbid`: slots, kinds and parameters without a match."""
    problems: list[Problem] = []
    for number, partial in enumerate(forbid):
        where = f"space.forbid[{number}]"
        if not isinstance(partial, Mapping) or not all(isinstance(w, (str, list, Mapping)) for w in partial.values()):
            what = f"is {partial!r}; should be slots with kinds, as {{chunker: sentence, reranker: {{mmr: {{…}}}}}}"
            problems.append(Problem(where, what))
            continue
        for slot, kinds in partial.items():
            if slot not in SLOTS:
                problems.append(Problem(f"{where}.{slot}", f"there is no slot {slot!r}{suggest_names(slot, SLOTS)}"))
                continue
            for kind, settings in settings_by_kind(kinds).items():
                problems += _find_unknown(slot, kind, settings, f"{where}.{slot}")
    return problems


def _find_unknown(slot: str, kind: str, settings: Mapping[str, object], where: str) -> Sequence[Problem]:
    try:
        names = strict.field_names(lookup(slot, kind, where=where))
    except BadInput as error:
        return error.problems
    return [
        Problem(f"{where}.{kind}.{name}", f"{kind} has no parameter {name!r}{suggest_names(name, names)}")
        for name in settings
        if name not in names
    ]


def settings_by_kind(kinds: object) -> dict[str, dict[str, object]]:
    """Return settings by kind, of what may be written as one kind, a list of kinds, or kinds with settings."""
    if isinstance(kinds, Mapping):
        return {str(kind): dict(settings or {}) for kind, settings in kinds.items()}
    names = kinds if isinstance(kinds, (list, tuple)) else [kinds]
    return {str(kind): {} for kind in names}
