"""Objectives from settings: what is optimised, what against it, and what is only logged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rag_opt.core import strict
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import lookup
from rag_opt.core.strict import PlainMapping
from rag_opt.evaluation.interfaces import ChecksSettings, Objective, PricesAnswers
from rag_opt.evaluation.requirements import describe_left_out, find_missing_data, has_scorable_question
from rag_opt.setup.schema import ObjectiveSettings
from rag_opt.study.evaluation import ObjectiveSet


def build_objective_set(
    settings: ObjectiveSettings, dataset: Dataset, *, judged: bool, answers: bool = True
) -> tuple[ObjectiveSet, list[str]]:
    """Return the objectives that the data can feed, and notes of the choice.

    `judged`: there is a judge; `answers`: a generator of the space gives some. Raises BadInput for what was asked for
    and cannot be fed; an objective that only logs, and asks nobody, is left out.
    """
    optimised, notes = _optimised(settings, dataset, judged=judged, answers=answers)
    against = _objectives(settings.against, "objective.against")
    problems = [
        lack
        for objective in against
        for lack in _lacking(
            objective, dataset, "objective.against", judged=judged, min_share=settings.min_share, answers=answers
        )
    ]
    fed = []
    for where, named in (("objective.log", settings.log), ("objective.finalists", settings.finalists)):
        objectives = _objectives(named, where)
        for objective in objectives:  # what costs calls was meant
            if "judge" in objective.requires and not (judged and has_scorable_question(dataset, objective.requires)):
                problems += _lacking(objective, dataset, where, judged=judged)
        fed.append(tuple(o for o in objectives if not o.requires or has_scorable_question(dataset, o.requires)))
    if problems:
        raise BadInput(problems)
    return ObjectiveSet(optimised, tuple(against), *fed), notes


def leave_out_answers(objective_set: ObjectiveSet) -> tuple[ObjectiveSet, list[str]] | None:
    """Return the objectives that look at no answer, and the kinds of the others; None where answers are optimised."""
    if any(one.reads_answers or isinstance(one, PricesAnswers) for one in objective_set.compared):
        return None
    logged = tuple(one for one in objective_set.logged if not one.reads_answers)
    finalists = tuple(one for one in objective_set.finalists if not one.reads_answers)
    left_out = [one.kind for one in (*objective_set.logged, *objective_set.finalists) if one.reads_answers]
    return dataclasses.replace(objective_set, logged=logged, finalists=finalists), left_out


def _optimised(
    settings: ObjectiveSettings, dataset: Dataset, *, judged: bool, answers: bool
) -> tuple[Objective, list[str]]:
    """Return the named objective, or the first of several that the data can feed; and notes of the choice."""
    where = "objective.auto" if settings.optimise is None else "objective.optimise"
    candidates = _objectives(settings.auto if settings.optimise is None else settings.optimise, where)
    if not candidates or (settings.optimise is not None and len(candidates) > 1):
        names = ", ".join(objective.kind for objective in candidates) or "nothing"
        raise BadInput([Problem(where, f"names {names}; should be one objective (objective=<name> replaces it whole)")])
    passed_over: list[Problem] = []
    for objective in candidates:
        lacks = _lacking(objective, dataset, where, judged=judged, min_share=settings.min_share, answers=answers)
        partly = [f"{objective.kind}: {one}" for one in describe_left_out(dataset, objective.requires)]
        if lacks:
            passed_over += lacks
        elif settings.optimise is not None:
            return objective, partly
        else:
            order = ", ".join(settings.auto)
            notes = [f"not {problem.where.rpartition('.')[2]}: {problem.what}" for problem in passed_over]
            chosen = f"objective: {objective.kind}, the first of {order} that the data can feed"
            return objective, [chosen, *partly, *notes]
    raise BadInput(passed_over)


def _lacking(
    one: Objective, dataset: Dataset, where: str, *, judged: bool, min_share: float = 1.0, answers: bool = True
) -> list[Problem]:
    if one.reads_answers and not answers:
        return [Problem(f"{where}.{one.kind}", "looks at answers, and space.generator gives none")]
    lacks = find_missing_data(dataset, one.requires, where=f"{where}.{one.kind}", min_share=min_share)
    if "judge" in one.requires and not judged:
        what = "needs a language model that judges: llm=openai_compatible or llm@judge=openai_compatible"
        lacks.append(Problem(f"{where}.{one.kind}", what))
    return lacks


def _objectives(named: Mapping[str, PlainMapping], where: str) -> list[Objective]:
    problems: list[Problem] = []
    made: list[Objective] = []
    for kind, given in named.items():
        try:
            one = strict.load(lookup("objective", kind, where=where), dict(given), path=f"{where}.{kind}")
            if isinstance(one, ChecksSettings):
                one.check(f"{where}.{kind}")
            made.append(one)
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)
    return made
