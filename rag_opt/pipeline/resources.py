"""What a pipeline's parts want of others: indexes by name, and what models are handed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rag_opt.core.digests import digest
from rag_opt.core.registry import lookup
from rag_opt.models.cards import CardLibrary
from rag_opt.models.encoder import Encoder
from rag_opt.models.reranker_resources import RerankerResources
from rag_opt.models.runtimes import Machine
from rag_opt.models.token_vectors import token_vectors
from rag_opt.parts.index_queries import IndexQuery
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.values import Values


def build_reranker_resources(
    encoder: Callable[[str], Encoder], rerankers: CardLibrary[Any], values: Values, machine: Machine
) -> RerankerResources:
    """What rerankers are handed; `encoder` gives that of an embedding model's card by its name."""
    return RerankerResources(
        rerankers=rerankers,
        values=values,
        machine=machine,
        tokens=lambda name, texts, purpose: token_vectors(encoder(name), texts, purpose),
        tokens_key=lambda name: digest([encoder(name).vectors_key, encoder(name).identity("sentence")]),
    )


def index_parts(spec: PipelineSpec, language: str) -> dict[str, Any]:
    """The indexes of a pipeline by name: those that its retriever searches, and the one that gives its vectors."""
    wanted = dict(spec.retriever.index_queries())
    if "chunk_vectors" in spec.reranker.requires:
        wanted.setdefault("dense", IndexQuery("chroma", 1))
    parts = {name: lookup("index", index_query.index)(**index_query.build) for name, index_query in wanted.items()}
    return {name: part.in_language(language) if hasattr(part, "in_language") else part for name, part in parts.items()}
