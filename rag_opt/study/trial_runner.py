"""One proposal becomes one finished trial, whatever happens to it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rag_opt.core.errors import BadInput, BudgetSpent, ImpossiblePipeline, ModelUnusable
from rag_opt.evaluation.intervals import mean_interval
from rag_opt.pipeline.ask import Responses
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.reranking import rerank_stage, rerank_work
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.evaluation import Evaluation
from rag_opt.study.racing import Screened
from rag_opt.study.racing_evaluator import RacingEvaluator
from rag_opt.study.samplers.interfaces import Proposal
from rag_opt.study.search import Search
from rag_opt.study.trial_usage import TrialUsage
from rag_opt.study.trials import Trial


def tried(
    search: Search,
    number: int,
    asked: Proposal,
    origin: str,
    *,
    trials: Sequence[Trial],
    racing_evaluator: RacingEvaluator,
) -> Trial:
    """Evaluate one proposal. Whatever goes wrong becomes a finished trial with its reason."""
    clock = time.perf_counter()
    before, spent, bill = _counts(search.builder), dict(search.builder.stage_timer.spent), TrialUsage(search.builder)
    trial = Trial(number=number, state="FAIL", spec=asked.spec, origin=origin, started=_now())
    try:
        spec = PipelineSpec.from_dict(asked.spec)
    except BadInput as error:  # a rule between settings that only the part knows
        return dataclasses.replace(trial, state="PRUNED", reason=str(error))
    trial = dataclasses.replace(trial, spec=spec.to_dict())
    try:
        why = search.space.forbidden(trial.spec) if origin in ("sampler", "sweep") else ""
        if why:
            raise ImpossiblePipeline(why)
        done, lost = racing_evaluator.evaluate(spec, trials)
        search.folder.save_rows(number, done.run, done.scores)
    except ImpossiblePipeline as error:
        return dataclasses.replace(trial, state="PRUNED", reason=str(error), seconds=time.perf_counter() - clock)
    except Screened as error:
        seconds = time.perf_counter() - clock
        stages = _stages(search, spent, seconds)
        return dataclasses.replace(
            trial,
            state="PRUNED",
            raced=True,
            reason=str(error),
            seconds=round(seconds, 3),
            stages=stages,
            made=search.builder.took(spec),
        )
    except (BadInput, ModelUnusable, BudgetSpent):
        raise  # the search itself is at fault, not this pipeline
    except Exception as error:  # a crash is a finished trial with its reason; too many in a row stop the search
        reason = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-4)}"
        return dataclasses.replace(trial, reason=reason, seconds=time.perf_counter() - clock)
    measured = dataclasses.replace(
        trial,
        asked=len(done.run.questions),
        coverage=done.coverage,
        metrics=done.metrics,
        seconds=round(time.perf_counter() - clock, 3),
        truncated_chunks=search.builder.truncated_chunks(spec),
        stages=_stages(search, spent, time.perf_counter() - clock),
        made=_made(search.builder, spec, done.run.responses),
        **bill.now(done),
        **_spent(before, _counts(search.builder)),
    )
    return _scored(search, measured, done, lost)


def _scored(search: Search, trial: Trial, done: Evaluation, lost: str) -> Trial:
    """The trial with its value, or as pruned with the mean of the questions it was asked."""
    if done.coverage == 0:
        why = next((f": {why}" for why in trial.failures), "")
        return dataclasses.replace(trial, reason=f"not one question could be scored{why}")
    cluster = dict(zip((question.id for question in search.questions), search.clusters, strict=True))
    interval = mean_interval(done.optimised, [cluster[question.id] for question in done.run.questions])
    spread = interval.error if np.isfinite(interval.error) else None
    if not np.isfinite(done.others).all():
        return dataclasses.replace(trial, reason="an objective of objective.against could not be scored")
    if lost:
        return dataclasses.replace(trial, state="PRUNED", raced=True, partial=interval.mean, error=spread, reason=lost)
    return dataclasses.replace(trial, state="COMPLETE", value=interval.mean, error=spread, others=done.others)


def _stages(
    search: Search, before: Mapping[str, tuple[float, float]], seconds: float
) -> dict[str, tuple[float, float]]:
    """Work and seconds by stage; "rest" is what no stage names: fusing, packing, scoring, writing."""
    stages = search.builder.stage_timer.since(before)
    rest = seconds - sum(took for _, took in stages.values())
    rounded = {name: (work, round(took, 4)) for name, (work, took) in stages.items()}
    return {**rounded, "rest": (float(len(search.questions)), round(max(rest, 0.0), 4))}


def _made(builder: PipelineBuilder, spec: PipelineSpec, responses: Responses) -> dict[str, tuple[float, float]]:
    """Work and seconds by stage as each took when it was first done: the same whatever was stored before."""
    questions, took = (
        float(len(responses.answers)),
        {name: np.nansum(ms) / 1000 for name, ms in responses.latency_ms.items()},
    )
    kinds = {
        f"search_{name}": f"search {index_query.index}" for name, index_query in spec.retriever.index_queries().items()
    }
    kinds |= {"rerank": rerank_stage(spec.reranker), "answer": f"answer {spec.generator.kind}"}
    kinds["rewrite"] = f"rewrite {spec.query.kind}"
    work = {"rerank": float(rerank_work(spec.reranker, int(questions)))}
    asked = {
        stage: (work.get(name, questions), round(float(took[name]), 4))
        for name, stage in kinds.items()
        if took.get(name)
    }
    return {**builder.took(spec), **asked}


def _counts(builder: PipelineBuilder) -> dict[str, dict[str, int]]:
    store = builder.store
    computed = {**store.values.computed, **store.built, "inputs encoded": builder.encoded()}
    computed["texts cut for a server"] = builder.cut_by_servers()
    return {"computed": computed, "reused": {**store.values.reused, **store.reused}}


def _spent(before: Mapping[str, dict[str, int]], after: Mapping[str, dict[str, int]]) -> dict[str, Any]:
    grown = {
        side: {name: n - before[side].get(name, 0) for name, n in counts.items()} for side, counts in after.items()
    }
    return {side: {name: n for name, n in counts.items() if n} for side, counts in grown.items()}


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
