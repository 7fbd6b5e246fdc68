"""Evaluates pipelines of one search, in a race against the best so far where the search races."""

from __future__ import annotations

from collections.abc import Sequence

from rag_opt.core.arrays import FloatArray
from rag_opt.evaluation.intervals import Interval
from rag_opt.metrics.evidence import covered
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.evaluation import Evaluation, evaluate
from rag_opt.study.racing import Race, Screened
from rag_opt.study.search import Search
from rag_opt.study.trials import Trial


class RacingEvaluator:
    """Evaluates pipelines of one search, in a race against the best so far where the search races."""

    def __init__(self, search: Search) -> None:
        self._search, self._race = search, Race()
        self._incumbent: tuple[int, FloatArray, FloatArray] | None = None

    def evaluate(self, spec: PipelineSpec, trials: Sequence[Trial]) -> tuple[Evaluation, str]:
        """The pipeline on all search questions, or on those it was asked before it had lost, and why it had."""
        search, questions = self._search, self._search.questions
        best = search.best(trials) if search.races else None
        if best is None:
            return evaluate(search.builder, spec, questions, search.objective_set), ""
        theirs, their_evidence = self._scores_of(best)
        sign = search.objective_set.sign
        if "evidence" in search.objective_set.optimised.requires and sign > 0:  # else evidence is not what wins
            behind = self._race.left_behind(self._evidence(spec), their_evidence, search.clusters)
            if behind is not None:
                raise Screened(f"screened before answering: {_words('evidence recall', behind, best)}")
        for rows in self._race.blocks(questions):
            asked = [questions[i] for i in rows]
            done = evaluate(search.builder, spec, asked, search.objective_set)
            if len(rows) == len(questions):
                break
            clusters = [search.clusters[i] for i in rows]
            lost = self._race.lost(sign * done.optimised, sign * theirs[rows], clusters)
            if lost is not None:
                return done, f"lost the race after {len(rows)} questions: {_words('score', lost, best)}"
        return done, ""

    def _scores_of(self, trial: Trial) -> tuple[FloatArray, FloatArray]:
        """Of the incumbent, per question; all of it is stored."""
        if self._incumbent is None or self._incumbent[0] != trial.number:
            spec, search = PipelineSpec.from_dict(trial.spec), self._search
            scores = evaluate(search.builder, spec, search.questions, search.objective_set).optimised
            self._incumbent = trial.number, scores, self._evidence(spec)
        return self._incumbent[1:]

    def _evidence(self, spec: PipelineSpec) -> FloatArray:
        builder, questions = self._search.builder, self._search.questions
        return covered(builder.pipeline(spec).retrieve(questions).hits, questions, builder.corpus)


def _words(what: str, gain: Interval, best: Trial) -> str:
    return f"{what} {gain.mean * 100:+.1f} points against trial {best.number}, at most {gain.high * 100:+.1f}"
