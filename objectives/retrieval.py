"""Whether the evidence was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.evaluation.run import Run, Scores, ScoringResources
from rag_opt.metrics.evidence import covered, document_gold, score_documents, score_spans, span_gold


@register("objective", "evidence")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Evidence:
    """Span evidence, scored by characters: recall, precision, IoU, dcg, hit rate, MRR (see `rag_opt.evidence`)."""

    direction: ClassVar[Literal["maximize", "minimize"]] = "maximize"
    requires: ClassVar[frozenset[str]] = frozenset()
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    stored: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ()

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        s = score_spans(run.responses.hits, span_gold(run.questions, run.corpus))
        return {
            "retrieval/evidence_recall": s.recall,
            "retrieval/evidence_precision": s.precision,
            "retrieval/evidence_iou": s.iou,
            "retrieval/evidence_dcg": s.dcg,
            "retrieval/hit_rate": s.hit,
            "retrieval/mrr": s.reciprocal_rank,
        }


@register("objective", "ndcg")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class DocumentNdcg:
    """Document evidence: nDCG@k, recall@k and MRR over documents. The value is nDCG@k."""

    k: Annotated[int, Ge(1), Le(1000)] = 10

    direction: ClassVar[Literal["maximize", "minimize"]] = "maximize"
    requires: ClassVar[frozenset[str]] = frozenset({"document_evidence"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    stored: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ()

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        s = score_documents(run.responses.hits, document_gold(run.questions, run.corpus), k=self.k)
        return {
            f"retrieval/document_ndcg_at_{self.k}": s.ndcg,
            f"retrieval/document_recall_at_{self.k}": s.recall,
            "retrieval/document_mrr": s.reciprocal_rank,
        }


@register("objective", "evidence_recall")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class EvidenceRecall:
    """Evidence recall minus a price per 1,000 context tokens; questions without an answer are not scored."""

    price_per_1000_tokens: Annotated[float, Ge(0)] = 0.05

    direction: ClassVar[Literal["maximize", "minimize"]] = "maximize"
    requires: ClassVar[frozenset[str]] = frozenset({"evidence"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    stored: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ()

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        price = self.price_per_1000_tokens * run.responses.context_tokens / 1000
        return {"quality/evidence_recall_after_price": covered(run.responses.hits, run.questions, run.corpus) - price}
