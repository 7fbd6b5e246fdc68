"""What a pipeline's parts want of others: indexes by name, and what models are handed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rag_opt.fetching import Fetch
from rag_opt.parts.embedders.encoder import Encoder
from rag_opt.parts.embedders.tokenwise import token_vectors
from rag_opt.parts.models.cards import Shelf
from rag_opt.parts.models.runtimes import Machine
from rag_opt.parts.models.tools import ModelTools
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.registry import lookup
from rag_opt.store.keys import digest
from rag_opt.store.values import Values


def model_tools(
    encoder: Callable[[str], Encoder], rerankers: Shelf[Any], values: Values, machine: Machine
) -> ModelTools:
    """What rerankers are handed; `encoder` gives that of an embedding model's card by its name."""
    return ModelTools(
        rerankers=rerankers,
        values=values,
        machine=machine,
        tokens=lambda name, texts, purpose: token_vectors(encoder(name), texts, purpose),
        tokens_key=lambda name: digest([encoder(name).vectors_key, encoder(name).identity("sentence")]),
    )


def index_parts(spec: PipelineSpec, language: str) -> dict[str, Any]:
    """The indexes of a pipeline by name: those that its retriever searches, and the one that gives its vectors."""
    wanted = dict(spec.retriever.fetches())
    if "chunk_vectors" in spec.reranker.needs:
        wanted.setdefault("dense", Fetch("chroma", 1))
    parts = {name: lookup("index", fetch.index)(**fetch.build) for name, fetch in wanted.items()}
    return {name: part.in_language(language) if hasattr(part, "in_language") else part for name, part in parts.items()}
