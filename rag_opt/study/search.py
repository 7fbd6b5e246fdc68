"""Everything that a search needs: space, baseline, sampler, objectives, questions and limits."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rag_opt.core.arrays import FloatArray
from rag_opt.core.questions import Question
from rag_opt.data.quotes import QuoteResolver
from rag_opt.evaluation.guards import Guards
from rag_opt.evaluation.prediction_powered import Labels
from rag_opt.evaluation.running_systems import RunningSystem
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec, SpecDict, spec_digest
from rag_opt.study.cost.forecaster import CostForecaster
from rag_opt.study.evaluation import OBJECTIVE_COLUMN, ObjectiveSet
from rag_opt.study.folder import StudyFolder
from rag_opt.study.racing import Skipped
from rag_opt.study.references import reference_pipelines
from rag_opt.study.samplers.interfaces import Sampler
from rag_opt.study.space.space import Space
from rag_opt.study.trials import Trial, TrialLog, find_baseline_metrics


@dataclass(frozen=True)
class Search:
    """Everything that a search needs, checked and ready.

    `questions`: the search questions, with the cluster of each in `clusters`. `trials` and `minutes` are its limits;
    `max_failures`: crashed trials in a row that stop it; with `retry_failed` those of an earlier run are tried again.
    `portfolio`: pipelines that earlier studies propose, tried after the enqueued ones; `expected`: what they expect of
    others, for samplers that ask. `share_for_trials`: which share of a cap trials may spend, after some trials.
    `running`: what the team runs today, over which the gain is instead of over `baseline`.
    `enqueued`: pipelines tried first, after the reference pipelines. `guards`: what a winner may not be worse in than
    the baseline. `labels`: people's scores of judged answers. `dense_reference`: whether vectors alone are a reference
    trial, which they are not where no model fits the documents.
    """

    folder: StudyFolder
    space: Space
    baseline: PipelineSpec
    sampler: Sampler
    objective_set: ObjectiveSet
    builder: PipelineBuilder
    questions: tuple[Question, ...]
    clusters: tuple[str, ...]
    trials: int
    seed: int
    max_failures: int = 5
    retry_failed: bool = False
    sweep: bool = False
    minutes: float | None = None
    stop: Literal["trials", "auto"] = "trials"
    races: bool = False
    guards: Guards = field(default_factory=Guards)
    labels: Labels = field(default_factory=dict)
    portfolio: tuple[SpecDict, ...] = ()
    expected: Callable[[Sequence[SpecDict]], FloatArray] | None = None
    share_for_trials: Callable[[Sequence[Trial]], float] = lambda trials: 1.0
    enqueued: tuple[PipelineSpec, ...] = ()
    dense_reference: bool = True
    running: RunningSystem | None = None

    @functools.cached_property
    def references(self) -> dict[str, PipelineSpec]:
        """Reference pipelines by the origin of their trials, in the order of these."""
        return reference_pipelines(self.baseline, dense=self.dense_reference)

    @functools.cached_property
    def quote_resolver(self) -> QuoteResolver:
        """Finds quotes in the documents as the baseline reads them."""
        return QuoteResolver(self.builder.texts(self.baseline).corpus)

    @property
    def places(self) -> list[Path]:
        """Folders that a search writes to."""
        return [self.builder.store.root, self.folder.path, Path(tempfile.gettempdir())]

    def share_spent(self, log: TrialLog) -> float:
        """Return the share of the limits that finished trials have used, in [0, 1]."""
        trials = self.count_tried(log.trials) / self.trials
        minutes = sum(trial.seconds for trial in log.trials) / 60 / self.minutes if self.minutes else 0.0
        return min(max(trials, minutes), 1.0)

    def count_tried(self, trials: Sequence[Trial]) -> int:
        """Return how many of the `trials` pipelines of the search were tried.

        A reference pipeline that the space leaves out does not count; a crashed one that was tried again counts once.
        """
        last = {spec_digest(trial.spec): trial.number for trial in trials}
        return sum(
            trial.is_counted
            and trial.in_space
            and (trial.state != "FAIL" or last[spec_digest(trial.spec)] == trial.number)
            for trial in trials
        )

    def share_of_everything(self, log: TrialLog) -> float:
        """Return the share of the scarcest of all limits and caps (dollars, calls, minutes) that is used, in [0, 1]."""
        return min(max(self.share_spent(log), self.builder.budget_tracker.share_spent()), 1.0)

    def best(self, trials: Sequence[Trial]) -> Trial | None:
        """Return the best complete trial of the space that may win, or None."""
        return next((trial for trial in self.rank_eligible(trials) if trial.spec in self.space), None)

    def rank_eligible(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the trials that may win, best first: complete, within the guards, and of the space.

        The baseline and enqueued pipelines may win wherever they are from; another reference pipeline that the space
        leaves out is there to be compared with.
        """
        baseline = find_baseline_metrics(trials)
        eligible = [
            trial
            for trial in trials
            if trial.value is not None
            and (trial.origin in ("baseline", "enqueued") or trial.spec in self.space)
            and not self.guards.broken(trial.metrics, baseline)
        ]
        return sorted(eligible, key=lambda trial: (-self.objective_set.sign * (trial.value or 0.0), trial.number))

    def load_scores(self, trial: Trial) -> FloatArray:
        """Return the objective of a complete trial by search question, higher is better, NaN where there is none."""
        return self.objective_set.sign * self.folder.load_column(trial.number, OBJECTIVE_COLUMN)

    def raise_if_skipped(self) -> None:
        """Raise Skipped where a person asked the search to leave the trial that runs."""
        if self.folder.was_asked("skip"):
            raise Skipped("skipped: a person asked for it")

    @functools.cached_property
    def cost_forecaster(self) -> CostForecaster:
        """The forecaster of this search's trials."""
        return self.new_cost_forecaster()

    def new_cost_forecaster(self) -> CostForecaster:
        """Return a forecaster that knows of no trial yet."""
        return CostForecaster(self.builder, self.space, self.questions, self.baseline, expected=self.expected)
