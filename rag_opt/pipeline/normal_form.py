"""The normal form of a pipeline: without what changes nothing, so that pipelines that do the same are one."""

from __future__ import annotations

import dataclasses

from rag_opt.core.registry import lookup
from rag_opt.parts.interfaces import LateChunkingEmbedder, ProjectingEmbedder, SimplifiableRetriever, WithoutVectors
from rag_opt.pipeline.feasibility import reads_vectors, searches_vectors
from rag_opt.pipeline.spec import PipelineSpec


def without_unread_vectors(spec: PipelineSpec) -> PipelineSpec:
    """Return the pipeline with `embedder none` where no part of it is handed a vector: so it is run.

    Its chunks are counted by the tokenizer of `embedder none` then, no longer by a model's.
    """
    if isinstance(spec.embedder, WithoutVectors) or any(reads_vectors(part) for _, part in spec.parts()):
        return spec
    return dataclasses.replace(spec, embedder=lookup("embedder", "none")())


def normal_form(spec: PipelineSpec, *, language: str, compares_all: bool) -> PipelineSpec:
    """Return the pipeline that is run, the same one for all that do the same over such documents.

    `language` (ISO 639-1, or empty); `compares_all`: an index compares all vectors of their chunks.
    """
    retriever = spec.retriever
    if isinstance(retriever, SimplifiableRetriever):
        retriever = retriever.simplified(language=language, compares_all=compares_all)
    simple = without_unread_vectors(dataclasses.replace(spec, retriever=retriever))
    if isinstance(simple.embedder, LateChunkingEmbedder | ProjectingEmbedder) and not searches_vectors(simple):
        # they change the vectors of chunks alone, and nobody looks for these
        return dataclasses.replace(simple, embedder=lookup("embedder", "model")(name=simple.embedder.name))
    return simple
