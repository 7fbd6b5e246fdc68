"""Objectives from settings: what is optimised, what against it, and what is only logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rag_opt import config
from rag_opt.errors import BadInput, Problem
from rag_opt.evaluation.feeding import feeds_some, lacking
from rag_opt.evaluation.run import Objective
from rag_opt.records import Dataset
from rag_opt.registry import lookup
from rag_opt.settings import ObjectiveSettings
from rag_opt.study.search import Panel


def panel_from(settings: ObjectiveSettings, dataset: Dataset, notes: list[str]) -> Panel:
    """The first objective that the data can feed; of the others those that it can feed."""
    where = "objective.auto" if settings.optimise is None else "objective.optimise"
    optimised = _objectives(settings.auto if settings.optimise is None else settings.optimise, where)
    if not optimised or (settings.optimise is not None and len(optimised) > 1):
        names = ", ".join(one.kind for one in optimised) or "nothing"
        raise BadInput([Problem(where, f"names {names}; should be one objective (objective=<name> replaces it whole)")])
    why: list[Problem] = []
    for one in optimised:
        lacks = lacking(dataset, one.needs, where=f"{where}.{one.kind}")
        if not lacks:
            if settings.optimise is None:
                notes.append(f"objective: {one.kind}, the first of {', '.join(settings.auto)} that the data can feed")
                notes += [f"not {problem.where.rpartition('.')[2]}: {problem.what}" for problem in why]
            break
        why += lacks
    else:
        raise BadInput(why)
    against = _objectives(settings.against, "objective.against")
    lacks = [problem for other in against for problem in lacking(dataset, other.needs, where="objective.against")]
    if lacks:
        raise BadInput(lacks)
    fed = []
    for shelf in ("log", "finalists"):
        objectives = _objectives(getattr(settings, shelf), f"objective.{shelf}")
        fed.append(tuple(o for o in objectives if not o.needs or feeds_some(dataset, o.needs)))
    return Panel(one, tuple(against), *fed)


def _objectives(named: Mapping[str, Mapping[str, Any]], where: str) -> list[Objective]:
    problems: list[Problem] = []
    made: list[Objective] = []
    for kind, given in named.items():
        try:
            made.append(config.load(lookup("objective", kind, where=where), dict(given), path=f"{where}.{kind}"))
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)
    return made
