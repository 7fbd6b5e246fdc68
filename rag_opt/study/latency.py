"""Latency of a pipeline as a user feels it: one question at a time, on a warm pipeline that knows no answer yet."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from rag_opt.core.questions import Question
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec

LATENCY_METRICS = ("cost/latency_ms_p50", "cost/latency_ms_p95", "cost/latency_questions")
_MIN_QUESTIONS = 5


def measure_latency(
    builder: PipelineBuilder, spec: PipelineSpec, questions: Sequence[Question], *, most_seconds: float = 1.0
) -> dict[str, float]:
    """Return the median and the 95th percentile of milliseconds from question to answer, and over how many questions.

    The first question warms the pipeline up and does not count. It ends with the questions, or after `most_seconds`
    once five were timed. What a language model answered before counts with the time that it took then.
    """
    pipeline = builder.serving_pipeline(spec)
    pipeline.ask(questions[:1])
    started, took_ms = time.perf_counter(), list[float]()
    for question in questions[1:]:
        responses = pipeline.ask([question])
        if not responses.usage.failed[0]:  # what was not answered took no time
            took_ms.append(float(np.nansum([milliseconds[0] for milliseconds in responses.latency_ms.values()])))
        if len(took_ms) >= _MIN_QUESTIONS and time.perf_counter() - started > most_seconds:
            break
    if not took_ms:
        return {}
    numbers = float(np.percentile(took_ms, 50)), float(np.percentile(took_ms, 95)), float(len(took_ms))
    return dict(zip(LATENCY_METRICS, numbers, strict=True))
