"""The indexes that a pipeline's parts ask for, and what the models of rerankers are handed."""

from __future__ import annotations

from collections.abc import Callable

from rag_opt.core.digests import digest
from rag_opt.core.registry import lookup
from rag_opt.models.cards import CardLibrary
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.budget import BudgetTracker
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.reranker_resources import RerankerResources
from rag_opt.models.runtimes import Machine
from rag_opt.models.token_vectors import token_vectors
from rag_opt.parts.index_queries import IndexQuery
from rag_opt.parts.interfaces import Index, TextIndex, VectorReranker
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.values import Values


def build_reranker_resources(
    encoder: Callable[[str], Encoder],
    rerankers: CardLibrary[RerankerCard],
    values: Values,
    machine: Machine,
    budget_tracker: BudgetTracker,
) -> RerankerResources:
    """Return what rerankers are handed; `encoder` gives that of an embedding model's card by its name."""
    return RerankerResources(
        rerankers=rerankers,
        values=values,
        machine=machine,
        tokens=lambda name, texts, purpose: token_vectors(encoder(name), texts, purpose),
        tokens_key=lambda name: digest([encoder(name).vectors_key, encoder(name).identity("sentence")]),
        budget_tracker=budget_tracker,
    )


def index_parts(spec: PipelineSpec, language: str) -> dict[str, Index]:
    """Return the indexes of a pipeline by name: those of its retriever, and one of vectors where a reranker needs it.

    `language` of the documents: ISO 639-1, or empty where nobody knows.
    """
    queries = dict(spec.retriever.index_queries())
    if isinstance(spec.reranker, VectorReranker):
        queries.setdefault("dense", IndexQuery("chroma", 1))
    parts: dict[str, Index] = {name: lookup("index", query.index)(**query.build) for name, query in queries.items()}
    return {name: part.in_language(language) if isinstance(part, TextIndex) else part for name, part in parts.items()}
