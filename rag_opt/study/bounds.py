"""What retrieval can still win: the winner's generator with no context at all, and with the evidence itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag_opt.core.documents import Span
from rag_opt.core.questions import Question
from rag_opt.evaluation.run import Run, ScoringResources
from rag_opt.evaluation.scoring import score
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.search import Search

FLOOR, CEILING = "closed book", "gold context"


def bounds(search: Search, spec: PipelineSpec, questions: Sequence[Question]) -> dict[str, float]:
    """Means of the objective over the questions, floor and ceiling; never candidates. Empty for an objective that does
    not look at answers; without a ceiling where no question has its evidence as a passage.
    """
    pipeline, objective_set = search.builder.pipeline(spec), search.objective_set
    part = spec.generator
    without = part.closed_book() if hasattr(part, "closed_book") else part
    empty: list[tuple[Span, ...]] = [()] * len(questions)
    contexts = {FLOOR: (empty, without), CEILING: ([gold(one) for one in questions], part)}
    found = {}
    for name, (given, generator) in contexts.items():
        if name == CEILING and not any(given):
            continue
        answered = pipeline.answer(questions, given, generator=generator)
        run = Run(tuple(questions), answered, pipeline.texts, pipeline.chunks)
        scores = score(
            objective_set.optimised,
            run,
            ScoringResources(search.builder.encoder, search.builder.judge),
            pipeline.values,
        )
        metric, column = next(iter(scores.items()))
        if not metric.startswith("quality/"):
            return {}
        if not np.isnan(column).all():
            found[name] = float(np.nanmean(column))
    return found


def gold(question: Question) -> tuple[Span, ...]:
    """A passage for each need of a question, none where it names whole documents."""
    first = [next((one for one in need if isinstance(one, Span)), None) for need in question.evidence or ()]
    return tuple(dict.fromkeys(span for span in first if span is not None))
