"""Scores of the retrieved spans and documents against the evidence."""

from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.evaluation.interfaces import ObjectiveDefaults, Requirement
from rag_opt.evaluation.run import Run, Scores, ScoringResources
from rag_opt.metrics.evidence import (
    build_document_gold,
    build_span_gold,
    score_documents,
    score_evidence_recall,
    score_spans,
)


@register("objective", "evidence")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Evidence(ObjectiveDefaults):
    """Span evidence, scored by characters: recall, precision, IoU, DCG, hit rate, MRR (`rag_opt.metrics.evidence`)."""

    reads_answers: ClassVar[bool] = False

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return evidence recall first, then the other metrics of spans."""
        scores = score_spans(run.responses.hits, build_span_gold(run.questions, run.corpus))
        return {
            "retrieval/evidence_recall": scores.recall,
            "retrieval/evidence_precision": scores.precision,
            "retrieval/evidence_iou": scores.iou,
            "retrieval/evidence_dcg": scores.dcg,
            "retrieval/hit_rate": scores.hit,
            "retrieval/mrr": scores.reciprocal_rank,
        }


@register("objective", "ndcg")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class DocumentNdcg(ObjectiveDefaults):
    """Document evidence: nDCG@k, recall@k and MRR over documents, on the whole ranked list. The value is nDCG@k.

    What of the list reaches the context, which `top_k` and the packer decide, is scored by span evidence.
    """

    k: Annotated[int, Ge(1), Le(1000), Doc("How many of the first documents count.")] = 10

    requires: ClassVar[frozenset[Requirement]] = frozenset({"document_evidence"})
    reads_answers: ClassVar[bool] = False

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return nDCG@k first, then recall@k and MRR."""
        scores = score_documents(run.responses.ranked, build_document_gold(run.questions, run.corpus), k=self.k)
        return {
            f"retrieval/document_ndcg_at_{self.k}": scores.ndcg,
            f"retrieval/document_recall_at_{self.k}": scores.recall,
            "retrieval/document_mrr": scores.reciprocal_rank,
        }


@register("objective", "evidence_recall")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class EvidenceRecall(ObjectiveDefaults):
    """Evidence recall minus a price for the context; questions without an answer are not scored."""

    price_per_1000_tokens: Annotated[float, Ge(0), Doc("Price of 1,000 tokens of context, in units of the score.")] = (
        0.05
    )

    requires: ClassVar[frozenset[Requirement]] = frozenset({"evidence"})
    reads_answers: ClassVar[bool] = False

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return the recall after the price."""
        recall = score_evidence_recall(run.responses.hits, run.questions, run.corpus)
        price = self.price_per_1000_tokens * run.responses.context_tokens / 1000
        return {"quality/evidence_recall_after_price": recall - price}
