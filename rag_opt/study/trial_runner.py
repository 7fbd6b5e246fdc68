"""The trial runner: one proposal becomes one finished trial, whatever happens to it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rag_opt.core.errors import BadInput, BudgetSpent, ImpossiblePipeline, ModelUnusable
from rag_opt.core.faults import find_fault
from rag_opt.core.secrets import mask
from rag_opt.evaluation.guards import find_metric
from rag_opt.evaluation.intervals import mean_interval
from rag_opt.pipeline.ask import Responses
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.reranking import rerank_stage, rerank_work
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.pipeline.stage_timer import Spent
from rag_opt.study.evaluation import Evaluation
from rag_opt.study.latency import LATENCY_METRICS, measure_latency
from rag_opt.study.racing import ScreenedOut, Skipped
from rag_opt.study.racing_evaluator import Raced, RacingEvaluator
from rag_opt.study.samplers.interfaces import Proposal
from rag_opt.study.search import Search
from rag_opt.study.transfer import PORTFOLIO
from rag_opt.study.trial_usage import TrialUsage
from rag_opt.study.trials import INDEX_RECALL, Trial, find_baseline_metrics

_TRACEBACK_FRAMES = 4


def run_trial(
    search: Search,
    number: int,
    proposal: Proposal,
    origin: str,
    *,
    trials: Sequence[Trial],
    racing_evaluator: RacingEvaluator,
) -> Trial:
    """Evaluate one proposal, and return the finished trial; whatever goes wrong with it is its reason.

    Raises BadInput, ModelUnusable, BudgetSpent where the search itself is at fault, and errors of the machine
    (`find_fault`): then there is no trial.
    """
    started = time.perf_counter()
    before = _Before(search.builder)
    trial = Trial(number=number, state="FAIL", spec=proposal.spec, origin=origin, started=_now())
    try:
        spec = PipelineSpec.from_dict(proposal.spec)
    except BadInput as error:  # a rule between settings that only the part knows
        return dataclasses.replace(trial, state="PRUNED", reason=str(error))
    trial = dataclasses.replace(trial, spec=spec.to_dict())
    try:
        reason = search.space.reason_against(trial.spec) if origin in ("sampler", "sweep", PORTFOLIO) else ""
        if reason:
            raise ImpossiblePipeline(reason)
        with _skippable(search):
            raced = racing_evaluator.evaluate(spec, trials)
        evaluation = raced.evaluation
        trial = dataclasses.replace(
            trial, rows_digest=search.folder.save_rows(number, evaluation.run, evaluation.columns)
        )
        latency = _latency(search, spec)
    except ImpossiblePipeline as error:
        return dataclasses.replace(trial, state="PRUNED", reason=str(error), seconds=time.perf_counter() - started)
    except (ScreenedOut, Skipped) as error:
        seconds = time.perf_counter() - started
        stages, made = before.stages_since(search, seconds), search.builder.took(spec)
        trial = dataclasses.replace(trial, seconds=round(seconds, 3), stages=stages, made=made)
        return dataclasses.replace(trial, state="PRUNED", raced=True, reason=str(error))
    except (BadInput, ModelUnusable, BudgetSpent):
        raise
    except Exception as error:  # a crash of any class is a finished trial; too many in a row stop the search
        if find_fault(error, search.places) is not None:  # of the machine, not of this pipeline
            raise
        reason = mask(f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-_TRACEBACK_FRAMES)}")
        return dataclasses.replace(trial, reason=reason, seconds=time.perf_counter() - started)
    seconds = time.perf_counter() - started
    trial = _with_value(search, _with_measurements(search, trial, spec, evaluation, before, seconds), raced)
    trial = dataclasses.replace(trial, metrics=trial.metrics | latency)
    outside = search.guards.broken(trial.metrics, find_baseline_metrics(trials)) if trial.value is not None else {}
    return dataclasses.replace(trial, outside=outside)


def _with_measurements(
    search: Search, trial: Trial, spec: PipelineSpec, evaluation: Evaluation, before: _Before, seconds: float
) -> Trial:
    """Return the trial with everything that was measured of it but its value."""
    recall = search.builder.index_recall(spec)
    return dataclasses.replace(
        trial,
        asked=len(evaluation.run.questions),
        coverage=evaluation.coverage,
        metrics=evaluation.metrics | ({INDEX_RECALL: recall} if recall is not None else {}),
        seconds=round(seconds, 3),
        truncated_chunks=search.builder.truncated_chunks(spec),
        approximate_indexes=search.builder.approximate_indexes(spec),
        stages=before.stages_since(search, seconds),
        made=_stages_when_made(search.builder, spec, evaluation.run.responses),
        computed=_increase(before.computed, _computed(search.builder)),
        reused=_increase(before.reused, _reused(search.builder)),
        **before.usage.fields(evaluation),
    )


def _latency(search: Search, spec: PipelineSpec) -> dict[str, float]:
    """Return the latency where a guard looks at it; else finalists alone are measured."""
    if not any(find_metric(name, LATENCY_METRICS) for name in search.guards.limits):
        return {}
    return measure_latency(search.builder, spec, search.questions)


class _Before:
    """Counters of a builder before a trial."""

    def __init__(self, builder: PipelineBuilder) -> None:
        self.computed, self.reused = _computed(builder), _reused(builder)
        self.usage = TrialUsage(builder)
        self._spent = dict(builder.stage_timer.spent)

    def stages_since(self, search: Search, seconds: float) -> Spent:
        """Return work and seconds by stage; "rest" is what no stage names: fusing, packing, scoring, writing."""
        stages = search.builder.stage_timer.since(self._spent)
        rest = seconds - sum(took for _, took in stages.values())
        rounded = {name: (work, round(took, 4)) for name, (work, took) in stages.items()}
        return {**rounded, "rest": (float(len(search.questions)), round(max(rest, 0.0), 4))}


def _with_value(search: Search, trial: Trial, raced: Raced) -> Trial:
    """Return the trial with its value, or pruned with an estimate of it; failed where nothing could be scored."""
    evaluation = raced.evaluation
    if evaluation.coverage == 0:
        reason = next((f": {reason}" for reason in trial.failures), "")
        return dataclasses.replace(trial, reason=f"not one question could be scored{reason}")
    cluster = dict(zip((question.id for question in search.questions), search.clusters, strict=True))
    interval = mean_interval(evaluation.optimised, [cluster[question.id] for question in evaluation.run.questions])
    error = interval.error if np.isfinite(interval.error) else None
    others = tuple(float(np.nanmean(column)) if not np.isnan(column).all() else np.nan for column in evaluation.others)
    if not np.isfinite(others).all():
        return dataclasses.replace(trial, reason="an objective of objective.against could not be scored")
    if raced.lost:
        lost = dataclasses.replace(trial, state="PRUNED", raced=True, reason=raced.lost)
        return dataclasses.replace(lost, partial=raced.estimate, error=error)
    return dataclasses.replace(trial, state="COMPLETE", value=interval.mean, error=error, others=others)


def _stages_when_made(builder: PipelineBuilder, spec: PipelineSpec, responses: Responses) -> Spent:
    """Return work and seconds by stage as each took when it was first done: the same whatever was stored before."""
    questions = float(len(responses.answers))
    seconds = {name: np.nansum(ms) / 1000 for name, ms in responses.latency_ms.items()}
    stages = {
        f"search_{name}": f"search {index_query.index}" for name, index_query in spec.retriever.index_queries().items()
    }
    stages |= {"rerank": rerank_stage(spec.reranker), "answer": f"answer {spec.generator.kind}"}
    stages["rewrite"] = f"rewrite {spec.query.kind}"
    work = {"rerank": float(rerank_work(spec.reranker, int(questions)))}
    work["answer"] = float(responses.context_tokens.sum())
    asked = {
        stage: (work.get(name, questions), round(float(seconds[name]), 4))
        for name, stage in stages.items()
        if seconds.get(name)
    }
    return {**builder.took(spec), **asked}


def _computed(builder: PipelineBuilder) -> dict[str, int]:
    computed = {**builder.store.values.computed, **builder.store.built, "inputs encoded": builder.encoded()}
    return {**computed, "texts cut for a server": builder.cut_by_servers()}


def _reused(builder: PipelineBuilder) -> dict[str, int]:
    return {**builder.store.values.reused, **builder.store.reused}


def _increase(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return by how much each count has grown, those that have not left out."""
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in grown.items() if count}


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


@contextlib.contextmanager
def _skippable(search: Search) -> Iterator[None]:
    """Have the trial that runs end at its next step where a person asks for it."""
    watcher = search.builder.progress

    def report(done: int, total: int) -> None:
        search.raise_if_skipped()
        watcher(done, total)

    search.builder.progress = report
    try:
        yield
    finally:
        search.builder.progress = watcher
