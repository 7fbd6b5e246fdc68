"""Metrics of ragas for the retrieved context that need no model."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from objectives.ragas_metrics import score_id_based, score_non_llm_context
from rag_opt.core.documents import Span
from rag_opt.core.questions import PageOfDocument, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.evaluation.interfaces import ObjectiveDefaults, Requirement
from rag_opt.evaluation.run import Run, Scores, ScoringResources


@register("objective", "id_based")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class IdBased(ObjectiveDefaults):
    """IDBasedContextRecall and IDBasedContextPrecision of ragas.

    The reference ids are the chunks of this pipeline that overlap the evidence, so the numbers are NOT comparable
    between chunkings; compare `retrieval/evidence_*` instead.
    """

    libraries: ClassVar[tuple[str, ...]] = ("ragas",)
    reads_answers: ClassVar[bool] = False

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return recall first, then precision; NaN where no chunk overlaps the evidence."""
        recall, precision = (np.full(len(run.questions), np.nan) for _ in range(2))
        hits, rows, pairs = run.responses.hits, list[int](), list[tuple[list[str], list[str]]]()
        for row, question in enumerate(run.questions):
            reference_ids = _evidence_chunk_ids(question, run)
            if reference_ids:
                returned = hits.document[row] >= 0
                columns = (column[row][returned].tolist() for column in (hits.document, hits.start, hits.end))
                rows.append(row)
                pairs.append(([_chunk_id(*place) for place in zip(*columns, strict=True)], reference_ids))
        recall[rows], precision[rows] = score_id_based(pairs)
        return {"ragas/id_based_context_recall": recall, "ragas/id_based_context_precision": precision}


def _chunk_id(document: int, start: int, end: int) -> str:
    return f"{document}:{start}-{end}"


def _evidence_chunk_ids(question: Question, run: Run) -> list[str]:
    """Return the chunks that share a character with any alternative, or lie in a document named as evidence."""
    chunks = run.chunks
    overlap = np.zeros(len(chunks), bool)
    for alternative in question.alternatives:
        inside = chunks.document == run.corpus.position.get(alternative.document_id, -1)
        if isinstance(alternative, Span | PageOfDocument):
            inside = inside & (chunks.start < alternative.end) & (chunks.end > alternative.start)
        overlap |= inside
    columns = (column[overlap].tolist() for column in (chunks.document, chunks.start, chunks.end))
    return [_chunk_id(*place) for place in zip(*columns, strict=True)]


@register("objective", "non_llm_context")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class NonLLMContext(ObjectiveDefaults):
    """NonLLMContextRecall and NonLLMContextPrecisionWithReference of ragas, by string distance. For finalists."""

    requires: ClassVar[frozenset[Requirement]] = frozenset({"evidence"})
    libraries: ClassVar[tuple[str, ...]] = ("ragas", "rapidfuzz")
    reads_answers: ClassVar[bool] = False

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return recall first, then precision; NaN without span evidence or without a passage."""
        recall, precision = (np.full(len(run.questions), np.nan) for _ in range(2))
        rows, pairs = list[int](), list[tuple[list[str], list[str]]]()
        for row, question in enumerate(run.questions):
            evidence = [text for need in question.evidence or () if (text := run.texts.passage_of(need[0])) is not None]
            passages = [run.texts.passage(span) for span in run.responses.contexts[row]]
            if evidence and passages:
                rows.append(row)
                pairs.append((passages, evidence))
        recall[rows], precision[rows] = score_non_llm_context(pairs)
        return {
            "ragas/non_llm_context_recall": recall,
            "ragas/non_llm_context_precision_with_reference": precision,
        }
