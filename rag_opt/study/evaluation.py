"""The unit of work: one pipeline asked some questions, and scored by the objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.questions import Question
from rag_opt.evaluation.run import Objective, Run, Scores, ScoringResources, ask
from rag_opt.evaluation.scoring import aggregate, score_all
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec


@dataclass(frozen=True)
class ObjectiveSet:
    """The objective that is optimised, those that are optimised against it, and those that are only logged."""

    optimised: Objective
    against: tuple[Objective, ...]
    logged: tuple[Objective, ...]
    finalists: tuple[Objective, ...]

    @property
    def sign(self) -> int:
        """+1 when higher is better."""
        return 1 if self.optimised.direction == "maximize" else -1

    def objectives(self, *, finalist: bool) -> tuple[Objective, ...]:
        """What is scored, the optimised one first: of every trial, or with what is asked of finalists alone."""
        return (self.optimised, *self.against, *self.logged, *(self.finalists if finalist else ()))

    @property
    def directions(self) -> tuple[Literal["maximize", "minimize"], ...]:
        return tuple(one.direction for one in (self.optimised, *self.against))


@dataclass(frozen=True)
class Evaluation:
    """A pipeline on some questions. `optimised`: the objective's value per question.

    NaN: could not be scored, or (an unanswerable question) does not apply. `others`: means of what is optimised
    against it.
    """

    run: Run
    optimised: FloatArray
    scores: Scores
    metrics: dict[str, float]
    others: tuple[float, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the questions that it has a value for; an unanswerable one without a value is not missing."""
        known = ~np.isnan(self.optimised)
        failed = np.array([bool(why) for why in self.run.responses.usage.failed])
        applies = known | failed | np.array([question.answerable for question in self.run.questions], bool)
        return float(known.sum() / applies.sum()) if applies.any() else 0.0


def evaluate(
    builder: PipelineBuilder,
    spec: PipelineSpec,
    questions: Sequence[Question],
    objective_set: ObjectiveSet,
    *,
    finalist: bool = False,
) -> Evaluation:
    """The unit of work: a function of its arguments and the store alone."""
    run = ask(builder.pipeline(spec), questions)
    tools = ScoringResources(builder.encoder, builder.judge)
    values = builder.store.values
    objectives = objective_set.objectives(finalist=finalist)
    optimised, *rest = score_all(objectives, run, tools, values)
    scores, metrics = dict(optimised), aggregate(objective_set.optimised, optimised)
    others: list[float] = []
    for objective, more in zip(objectives[1:], rest, strict=True):
        if len(others) < len(objective_set.against):  # those come first
            others.append(float(np.nanmean(next(iter(more.values())))))
        # what is optimised is never replaced by what is only logged, whatever its name
        metrics = {**aggregate(objective, more), **metrics}
        scores = {**more, **scores}
    return Evaluation(run, next(iter(optimised.values())), scores, metrics, tuple(others))
