"""What is searched: a space, a baseline, questions and objectives; and the unit of work, one pipeline on questions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rag_opt.core.questions import Question
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.cost.forecaster import CostForecaster
from rag_opt.study.evaluation import ObjectiveSet
from rag_opt.study.folder import StudyFolder
from rag_opt.study.samplers.interfaces import Sampler
from rag_opt.study.space.space import Space
from rag_opt.study.trials import Trial, TrialLog


@dataclass(frozen=True)
class Search:
    """Everything a search needs, checked and ready. `studied`: values that earlier studies found, by model.
    `share_for_trials`: of a budget, after some trials.
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
        return max(done, key=lambda trial: self.objective_set.sign * (trial.value or 0.0), default=None)

    @functools.cached_property
    def cost_forecaster(self) -> CostForecaster:
        return self.new_cost_forecaster()

    def new_cost_forecaster(self) -> CostForecaster:
        """One that knows of no trial yet."""
        return CostForecaster(self.builder, self.space, self.questions, self.baseline, studied=self.studied)
