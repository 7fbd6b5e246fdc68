"""Evaluation of the pipelines of one search, in a race against the best so far where the search races."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.evaluation.intervals import Interval
from rag_opt.metrics.evidence import score_evidence_recall
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.evaluation import Evaluation, evaluate
from rag_opt.study.racing import Race, ScreenedOut
from rag_opt.study.search import Search
from rag_opt.study.trials import Trial


@dataclass(frozen=True)
class Raced:
    """An evaluation on all search questions, or on those asked before the race was lost.

    `lost`: why it was lost, empty where it was not. `estimate`: then its value on all questions, by the incumbent's
    value there and the paired gain over it on those that both were asked: easy blocks do not flatter.
    """

    evaluation: Evaluation
    lost: str = ""
    estimate: float | None = None


class RacingEvaluator:
    """Evaluates the pipelines of one search, in a race against the best so far where the search races."""

    def __init__(self, search: Search) -> None:
        self._search, self._race = search, Race()
        self._incumbent: tuple[int, FloatArray, FloatArray] | None = None

    def evaluate(self, spec: PipelineSpec, trials: Sequence[Trial]) -> Raced:
        """Return the evaluation on all search questions, or on those asked before the race was lost.

        Raises ScreenedOut where it finds so much less evidence that it is not asked.
        """
        search, questions = self._search, self._search.questions
        best = search.best(trials) if search.races else None
        if best is None:
            return Raced(evaluate(search.builder, spec, questions, search.objective_set))
        theirs, their_evidence = self._incumbent_scores(best)
        sign = search.objective_set.sign
        if "evidence" in search.objective_set.optimised.requires and sign > 0:  # else evidence is not what wins
            loss = self._race.find_evidence_loss(self._evidence_recall(spec), their_evidence, search.clusters)
            if loss is not None:
                raise ScreenedOut(f"screened before answering: {_describe_loss('evidence recall', loss, best)}")
        for rows in self._race.blocks(questions):
            search.raise_if_skipped()
            block = [questions[i] for i in rows]
            evaluation = evaluate(search.builder, spec, block, search.objective_set)
            if len(rows) == len(questions):
                break
            clusters = [search.clusters[i] for i in rows]
            loss = self._race.find_score_loss(sign * evaluation.optimised, sign * theirs[rows], clusters)
            if loss is not None:
                lost = f"lost the race after {len(rows)} questions: {_describe_loss('score', loss, best)}"
                return Raced(evaluation, lost, float(np.nanmean(theirs)) + sign * loss.mean)
        return Raced(evaluation)

    def _incumbent_scores(self, trial: Trial) -> tuple[FloatArray, FloatArray]:
        """Return score and evidence recall of the incumbent per question; all of it is stored."""
        if self._incumbent is None or self._incumbent[0] != trial.number:
            spec, search = PipelineSpec.from_dict(trial.spec), self._search
            scores = evaluate(search.builder, spec, search.questions, search.objective_set).optimised
            self._incumbent = trial.number, scores, self._evidence_recall(spec)
        return self._incumbent[1:]

    def _evidence_recall(self, spec: PipelineSpec) -> FloatArray:
        builder, questions = self._search.builder, self._search.questions
        corpus, there = builder.readings.corpus(spec.reader), builder.readings.localise(spec.reader, questions)
        return score_evidence_recall(builder.pipeline(spec).retrieve(there).hits, there, corpus)


def _describe_loss(metric: str, gain: Interval, best: Trial) -> str:
    return f"{metric} {gain.mean * 100:+.1f} points against trial {best.number}, at most {gain.high * 100:+.1f}"
