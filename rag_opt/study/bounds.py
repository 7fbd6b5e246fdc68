"""Bounds of what retrieval can win: the winner's generator with no context at all, and with the evidence itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag_opt.core.documents import Span
from rag_opt.core.questions import Question
from rag_opt.evaluation.run import Run, ScoringResources
from rag_opt.evaluation.scoring import score
from rag_opt.parts.interfaces import LLMGenerator, PassagesOnly
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.search import Search

CLOSED_BOOK, GOLD_CONTEXT = "closed book", "gold context"
BOUNDS = (CLOSED_BOOK, GOLD_CONTEXT)


def measure_bounds(search: Search, spec: PipelineSpec, questions: Sequence[Question]) -> dict[str, float]:
    """Return the mean of the objective for each bound; these are never candidates.

    Empty for an objective that does not look at answers; without the gold-context bound where no question has its
    evidence as a passage.
    """
    generator = spec.generator
    if isinstance(generator, PassagesOnly):
        return {}
    pipeline, objective_set = search.builder.pipeline(spec), search.objective_set
    questions = search.builder.readings.localise(spec.reader, questions)
    without_context = generator.closed_book() if isinstance(generator, LLMGenerator) else generator
    empty: list[tuple[Span, ...]] = [()] * len(questions)
    asked = {
        CLOSED_BOOK: (empty, without_context),
        GOLD_CONTEXT: ([gold_context(question) for question in questions], generator),
    }
    means: dict[str, float] = {}
    for name, (contexts, part) in asked.items():
        if name == GOLD_CONTEXT and not any(contexts):
            continue
        responses = pipeline.answer(questions, contexts, generator=part)
        run = Run(tuple(questions), responses, pipeline.texts, pipeline.chunks)
        resources = ScoringResources(search.builder.encoder, search.builder.judge)
        scores = score(objective_set.optimised, run, resources, pipeline.values)
        metric, column = next(iter(scores.items()))
        if not metric.startswith("quality/"):
            return {}
        if not np.isnan(column).all():
            means[name] = float(np.nanmean(column))
    return means


def gold_context(question: Question) -> tuple[Span, ...]:
    """Return a passage for each need of a question, none for a need that names a whole document."""
    spans = [next((a for a in need if isinstance(a, Span)), None) for need in question.evidence or ()]
    return tuple(dict.fromkeys(span for span in spans if span is not None))
