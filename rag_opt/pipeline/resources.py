"""The indexes that a pipeline's parts ask for, and what the models of rerankers are handed."""

from __future__ import annotations

from collections.abc import Callable

from rag_opt.core.digests import digest
from rag_opt.core.registry import lookup
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.budget import BudgetTracker
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.reranker_resources import RerankerResources
from rag_opt.models.runtimes import Machine
from rag_opt.models.token_vectors import token_vectors
from rag_opt.parts.index_queries import IndexQuery
from rag_opt.parts.interfaces import BoundIndex, Index, ModelIndex, TextIndex, VectorReranker
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.values import Values


def build_reranker_resources(
    encoder: Callable[[str], Encoder],
    rerankers: CardLibrary[RerankerCard],
    values: Values,
    machine: Machine,
    budget_tracker: BudgetTracker,
    *,
    embedders: CardLibrary[EmbedderCard],
    spend: Callable[[str, float, float], None] = lambda stage, work, seconds: None,
) -> RerankerResources:
    """Return what rerankers and indexes are handed; `encoder` gives that of an embedding model's card by its name."""
    return RerankerResources(
        rerankers=rerankers,
        embedders=embedders,
        values=values,
        machine=machine,
        tokens=lambda name, texts, purpose: token_vectors(encoder(name), texts, purpose),
        tokens_key=lambda name: digest([encoder(name).vectors_key, encoder(name).identity("sentence")]),
        budget_tracker=budget_tracker,
        spend=spend,
    )


def find_index_parts(spec: PipelineSpec) -> dict[str, Index | ModelIndex]:
    """Return the indexes of a pipeline by name: its retriever's, and one of vectors where a reranker needs it."""
    queries = dict(spec.retriever.index_queries())
    if isinstance(spec.reranker, VectorReranker):
        queries.setdefault("dense", IndexQuery("chroma", 1))
    return {name: lookup("index", query.index)(**query.build) for name, query in queries.items()}


def index_parts(spec: PipelineSpec, language: str, bind: Callable[[ModelIndex], BoundIndex]) -> dict[str, Index]:
    """Return the indexes of a pipeline by name, as they are built and opened.

    `language` of the documents: ISO 639-1, or empty where nobody knows. `bind` gives one that has a model of its own
    that model.
    """
    bound: dict[str, Index] = {
        name: bind(part) if isinstance(part, ModelIndex) else part for name, part in find_index_parts(spec).items()
    }
    return {name: part.in_language(language) if isinstance(part, TextIndex) else part for name, part in bound.items()}
