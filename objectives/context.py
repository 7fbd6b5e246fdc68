"""ragas' metrics of the retrieved context that need no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic.dataclasses import dataclass

from objectives.ragas_metrics import id_based_scores, non_llm_context_scores
from rag_opt.core.documents import Span
from rag_opt.core.questions import Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.evaluation.run import Run, Scores, ScoringResources


@register("objective", "id_based")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class IdBased:
    """ragas IDBasedContextRecall and IDBasedContextPrecision.

    The reference ids are the chunks of this pipeline that touch the evidence, so the numbers are NOT comparable
    between chunkings; compare `retrieval/evidence_*` instead.
    """

    direction: ClassVar[Literal["maximize", "minimize"]] = "maximize"
    requires: ClassVar[frozenset[str]] = frozenset()
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    stored: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("ragas",)

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        recall, precision = (np.full(len(run.questions), np.nan) for _ in range(2))
        hits, rows, pairs = run.responses.hits, [], []
        for row, question in enumerate(run.questions):
            wanted = _touching(question, run)
            if wanted:
                kept = hits.document[row] >= 0
                columns = (column[row][kept].tolist() for column in (hits.document, hits.start, hits.end))
                rows.append(row)
                pairs.append(([f"{d}:{s}-{e}" for d, s, e in zip(*columns, strict=True)], wanted))
        recall[rows], precision[rows] = id_based_scores(pairs)
        return {"ragas/id_based_context_recall": recall, "ragas/id_based_context_precision": precision}


def _touching(question: Question, run: Run) -> list[str]:
    """Ids of the chunks that share a character with any alternative, or lie in a document named as evidence."""
    chunks = run.chunks
    found = np.zeros(len(chunks), bool)
    for need in question.evidence or ():
        for one in need:
            here = chunks.document == run.corpus.position[one.document_id]
            if isinstance(one, Span):
                here = here & (chunks.start < one.end) & (chunks.end > one.start)
            found |= here
    rows = np.flatnonzero(found)
    return [f"{chunks.document[i]}:{chunks.start[i]}-{chunks.end[i]}" for i in rows]


@register("objective", "non_llm_context")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class NonLLMContext:
    """ragas NonLLMContextRecall and NonLLMContextPrecisionWithReference, by string distance. For finalists."""

    direction: ClassVar[Literal["maximize", "minimize"]] = "maximize"
    requires: ClassVar[frozenset[str]] = frozenset({"evidence"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    stored: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("ragas", "rapidfuzz")

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        recall, precision = (np.full(len(run.questions), np.nan) for _ in range(2))
        rows, pairs = [], []
        for row, question in enumerate(run.questions):
            spans = [need[0] for need in question.evidence or () if isinstance(need[0], Span)]
            passages = [run.texts.of(span) for span in run.responses.contexts[row]]
            if spans and passages:
                rows.append(row)
                pairs.append((passages, [run.texts.of(span) for span in spans]))
        recall[rows], precision[rows] = non_llm_context_scores(pairs)
        return {
            "ragas/non_llm_context_recall": recall,
            "ragas/non_llm_context_precision_with_reference": precision,
        }
