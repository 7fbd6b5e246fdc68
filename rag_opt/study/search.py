"""What is searched: a space, a baseline, questions and objectives; and the unit of work, one pipeline on questions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from rag_opt import config
from rag_opt.evaluation.run import Objective, Run, Scores, Tools, ask
from rag_opt.evaluation.scoring import aggregate, score_all
from rag_opt.pipeline import PipelineSpec, Workshop
from rag_opt.records import FloatArray, Question
from rag_opt.registry import lookup
from rag_opt.study.folder import StudyFolder
from rag_opt.study.prospect import Prospect
from rag_opt.study.samplers import Sampler
from rag_opt.study.space import Space
from rag_opt.study.trials import Trial, TrialLog


@dataclass(frozen=True)
class Panel:
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
        failed = np.array([bool(why) for why in self.run.responses.asked.failed])
        applies = known | failed | np.array([question.answerable for question in self.run.questions], bool)
        return float(known.sum() / applies.sum()) if applies.any() else 0.0


def evaluate(
    workshop: Workshop,
    spec: PipelineSpec,
    questions: Sequence[Question],
    panel: Panel,
    *,
    finalist: bool = False,
) -> Evaluation:
    """The unit of work: a function of its arguments and the store alone."""
    run = ask(workshop.pipeline(spec), questions)
    tools = Tools(workshop.encoder, workshop.judge)
    values = workshop.store.values
    objectives = panel.objectives(finalist=finalist)
    optimised, *rest = score_all(objectives, run, tools, values)
    scores, metrics = dict(optimised), aggregate(panel.optimised, optimised)
    others: list[float] = []
    for objective, more in zip(objectives[1:], rest, strict=True):
        if len(others) < len(panel.against):  # those come first
            others.append(float(np.nanmean(next(iter(more.values())))))
        # what is optimised is never replaced by what is only logged, whatever its name
        metrics = {**aggregate(objective, more), **metrics}
        scores = {**more, **scores}
    return Evaluation(run, next(iter(optimised.values())), scores, metrics, tuple(others))


@dataclass(frozen=True)
class Search:
    """Everything a search needs, checked and ready. `studied`: values that earlier studies found, by model.
    `share_for_trials`: of a budget, after some trials.
    """

    folder: StudyFolder
    space: Space
    baseline: PipelineSpec
    sampler: Sampler
    panel: Panel
    workshop: Workshop
    questions: tuple[Question, ...]
    clusters: tuple[str, ...]
    trials: int
    seed: int
    max_failures: int = 5
    sweep: bool = False
    minutes: float | None = None
    stop: Literal["trials", "auto"] = "trials"
    races: bool = False
    min_coverage: float = 0.0
    studied: Mapping[str, float] = field(default_factory=dict)
    share_for_trials: Callable[[Sequence[Trial]], float] = lambda trials: 1.0

    def spent(self, log: TrialLog) -> float:
        """Share of the budget that finished trials have used, in [0, 1]."""
        trials = sum(trial.counts for trial in log.trials) / self.trials
        minutes = sum(trial.seconds for trial in log.trials) / 60 / self.minutes if self.minutes else 0.0
        return min(max(trials, minutes), 1.0)

    def best(self, trials: Sequence[Trial]) -> Trial | None:
        """The best complete trial that may win, or None."""
        able = [trial for trial in trials if trial.value is not None and trial.coverage >= self.min_coverage]
        done = [trial for trial in able if trial.spec in self.space]
        return max(done, key=lambda trial: self.panel.sign * (trial.value or 0.0), default=None)

    @functools.cached_property
    def prospect(self) -> Prospect:
        return self.new_prospect()

    def new_prospect(self) -> Prospect:
        """One that knows of no trial yet."""
        return Prospect(self.workshop, self.space, self.questions, self.baseline, studied=self.studied)


def reference_pipelines(baseline: PipelineSpec) -> dict[str, PipelineSpec]:
    """Trials 0, 1 and 2: the baseline, and the same with BM25 alone and with vectors alone."""
    settings = config.dump(baseline.retriever)

    def alone(kind: str) -> PipelineSpec:
        same = {name: settings[name] for name in config.field_names(lookup("retriever", kind)) if name in settings}
        plain = {"query": {"none": {}}, "reranker": {"none": {}}, "retriever": {kind: same}}
        return PipelineSpec.from_dict({**baseline.to_dict(), **plain})

    return {"baseline": baseline, "BM25 alone": alone("lexical"), "dense alone": alone("dense")}
