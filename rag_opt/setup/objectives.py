"""Objectives from settings: what is optimised, what against it, and what is only logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rag_opt.core import strict as config
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import lookup
from rag_opt.evaluation.requirements import feeds_some, find_missing_data
from rag_opt.evaluation.run import Objective
from rag_opt.setup.schema import ObjectiveSettings
from rag_opt.study.evaluation import ObjectiveSet


def build_objective_set(
    settings: ObjectiveSettings, dataset: Dataset, notes: list[str], *, judged: bool
) -> ObjectiveSet:
    """The first objective that the data can feed; of the others those that it can feed. `judged`: there is a judge.

    Raises BadInput for what was asked for and cannot be fed; an objective that only logs, and asks nobody, is left out.
    """
    where = "objective.auto" if settings.optimise is None else "objective.optimise"
    optimised = _objectives(settings.auto if settings.optimise is None else settings.optimise, where)
    if not optimised or (settings.optimise is not None and len(optimised) > 1):
        names = ", ".join(one.kind for one in optimised) or "nothing"
        raise BadInput([Problem(where, f"names {names}; should be one objective (objective=<name> replaces it whole)")])
    why: list[Problem] = []
    for one in optimised:
        lacks = _lacking(one, dataset, where, judged=judged)
        if not lacks:
            if settings.optimise is None:
                notes.append(f"objective: {one.kind}, the first of {', '.join(settings.auto)} that the data can feed")
                notes += [f"not {problem.where.rpartition('.')[2]}: {problem.what}" for problem in why]
            break
        why += lacks
    else:
        raise BadInput(why)
    against = _objectives(settings.against, "objective.against")
    lacks = [lack for other in against for lack in _lacking(other, dataset, "objective.against", judged=judged)]
    fed = []
    for shelf in ("log", "finalists"):
        objectives = _objectives(getattr(settings, shelf), f"objective.{shelf}")
        for other in objectives:  # what costs calls was meant
            if "judge" in other.requires and not (judged and feeds_some(dataset, other.requires)):
                lacks += _lacking(other, dataset, f"objective.{shelf}", judged=judged)
        fed.append(tuple(o for o in objectives if not o.requires or feeds_some(dataset, o.requires)))
    if lacks:
        raise BadInput(lacks)
    return ObjectiveSet(one, tuple(against), *fed)


def _lacking(one: Objective, dataset: Dataset, where: str, *, judged: bool) -> list[Problem]:
    lacks = find_missing_data(dataset, one.requires, where=f"{where}.{one.kind}")
    if "judge" in one.requires and not judged:
        what = "needs a language model that judges: llm=openai_compatible or llm@judge=openai_compatible"
        lacks.append(Problem(f"{where}.{one.kind}", what))
    return lacks


def _objectives(named: Mapping[str, Mapping[str, Any]], where: str) -> list[Objective]:
    problems: list[Problem] = []
    made: list[Objective] = []
    for kind, given in named.items():
        try:
            one = config.load(lookup("objective", kind, where=where), dict(given), path=f"{where}.{kind}")
            if hasattr(one, "check"):
                one.check(f"{where}.{kind}")
            made.append(one)
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)
    return made
