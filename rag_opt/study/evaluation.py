"""The unit of work: one pipeline asked some questions, and scored by the objectives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.questions import Question
from rag_opt.evaluation.guards import COVERAGE
from rag_opt.evaluation.interfaces import Direction, Objective, Requirement
from rag_opt.evaluation.requirements import can_feed
from rag_opt.evaluation.run import Run, Scores, ScoringResources, ask
from rag_opt.evaluation.scoring import aggregate, keep_fed, score_all
from rag_opt.metrics.evidence_places import locate_evidence
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec

OBJECTIVE_COLUMN = "objective/value"  # of the rows of a trial: what is optimised, whatever the metric is called


@dataclass(frozen=True)
class ObjectiveSet:
    """Objectives of a study: the one that is optimised, those optimised against it, and those that are only logged.

    `finalists`: logged for finalists alone.
    """

    optimised: Objective
    against: tuple[Objective, ...]
    logged: tuple[Objective, ...]
    finalists: tuple[Objective, ...]

    @property
    def sign(self) -> int:
        """+1 when higher is better, else -1."""
        return 1 if self.optimised.direction == "maximize" else -1

    def objectives(self, *, finalist: bool) -> tuple[Objective, ...]:
        """Return what a trial, or a finalist, is scored by; the optimised one first, then those against it."""
        return (self.optimised, *self.against, *self.logged, *(self.finalists if finalist else ()))

    @property
    def compared(self) -> tuple[Objective, ...]:
        """Return the objectives by which pipelines are compared: what is optimised, and what against it."""
        return (self.optimised, *self.against)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Directions of the objectives that are optimised."""
        return tuple(objective.direction for objective in self.compared)


@dataclass(frozen=True)
class Evaluation:
    """A pipeline on some questions, scored.

    `optimised`: the optimised objective's value per question, NaN where it could not be scored or (an unanswerable
    question) does not apply. `scores` and `metrics` of all objectives, per question and aggregated; `metrics` have what
    guards look at in every search: coverage, wrong refusals, tokens of context, words of answers. `others`: scores per
    question of the objectives that are optimised against it.
    """

    run: Run
    optimised: FloatArray
    scores: Scores
    metrics: dict[str, float]
    others: tuple[FloatArray, ...] = ()

    @property
    def columns(self) -> Scores:
        """Return the scores, the optimised one under a name that does not depend on the objective, and the places.

        Those (`places/…`) say where the evidence of each question got to, in every search.
        """
        run = self.run
        places = locate_evidence(run.responses.hits, run.responses.ranked, run.chunks, run.questions, run.corpus)
        named = {f"places/{one.name}": getattr(places, one.name) for one in dataclasses.fields(places)}
        return {OBJECTIVE_COLUMN: self.optimised, **self.scores, **named}

    @property
    def counts(self) -> dict[str, int]:
        """Return by metric how many questions have a score."""
        return {name: int((~np.isnan(column)).sum()) for name, column in self.scores.items()}

    @property
    def coverage(self) -> float:
        """Share of the questions that have a value; an unanswerable one without a value is not missing."""
        return self.metrics[COVERAGE]


def evaluate(
    builder: PipelineBuilder,
    spec: PipelineSpec,
    questions: Sequence[Question],
    objective_set: ObjectiveSet,
    *,
    finalist: bool = False,
) -> Evaluation:
    """Ask a pipeline some questions and score it: a function of its arguments and the store alone."""
    run = ask(builder.pipeline(spec), builder.readings.localise(spec.reader, questions))
    return score_run(builder, run, objective_set, objective_set.objectives(finalist=finalist))


def score_run(
    builder: PipelineBuilder, run: Run, objective_set: ObjectiveSet, objectives: Sequence[Objective]
) -> Evaluation:
    """Return what a pipeline returned, scored by some objectives of a study, the optimised one first."""
    resources, questions = ScoringResources(builder.encoder, builder.judge), run.questions
    scored = score_all(objectives, run, resources, builder.store.values)
    optimised, *rest = [keep_fed(one, columns, questions) for one, columns in zip(objectives, scored, strict=True)]
    scores, metrics = dict(optimised), aggregate(objective_set.optimised, optimised)
    others: list[FloatArray] = []
    for objective, columns in zip(objectives[1:], rest, strict=True):
        if len(others) < len(objective_set.against):  # those come first
            others.append(next(iter(columns.values())))
        # what is optimised is never replaced by what is only logged, whatever its name
        metrics = {**aggregate(objective, columns), **metrics}
        scores = {**columns, **scores}
    value = next(iter(optimised.values()))
    guarded = measure_guarded(run, value, objective_set.optimised.requires)
    return Evaluation(run, value, scores, {**guarded, **metrics}, tuple(others))


def measure_guarded(run: Run, value: FloatArray, requires: Iterable[Requirement] = ()) -> dict[str, float]:
    """Return the metrics that guards look at in every search, whatever is logged.

    `requires`: what a question must have to be scored; without it, it is not missing.
    """
    wanted = tuple(requires)
    answerable = np.array([question.answerable for question in run.questions], bool)
    refused = np.array([answer.refused for answer in run.responses.answers], bool)
    failed = np.array([bool(reason) for reason in run.responses.usage.failed])
    known = ~np.isnan(value)
    fed = np.array([can_feed(question, wanted) for question in run.questions], bool)
    applies = known | (fed & (failed | answerable))
    metrics = {
        COVERAGE: float(known.sum() / applies.sum()) if applies.any() else 0.0,
        "cost/context_tokens": float(run.responses.context_tokens.mean()),
    }
    said = [len(answer.text.split()) for answer in run.responses.answers if answer.text]
    if said:
        metrics["cost/answer_words"] = float(np.mean(said))
    if answerable.any() and run.responses.answered:
        metrics["quality/refused_answerable"] = float(refused[answerable].mean())
    return metrics
