"""The keys of a pipeline's artifacts: hashes of everything that determines them, known before anything is built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rag_opt.core import strict
from rag_opt.core.digests import digest, versions
from rag_opt.core.documents import Corpus
from rag_opt.core.source_digest import source_digest
from rag_opt.models.encoder import Encoder
from rag_opt.parts.interfaces import (
    BoundIndex,
    DescribedContext,
    DistillingEmbedder,
    Index,
    LateChunkingEmbedder,
    ModelIndex,
    Part,
    ProjectingEmbedder,
    VectorChunker,
    VectorIndex,
    WrittenContext,
)
from rag_opt.pipeline.resources import index_parts
from rag_opt.pipeline.spec import PipelineSpec


class Keys(NamedTuple):
    """Keys of one pipeline. `indexes` by name: the part that builds the index, and its key."""

    chunks: str
    indexes: dict[str, tuple[Index, str]]


def pipeline_keys(
    spec: PipelineSpec,
    encoder: Encoder,
    corpus: Corpus,
    *,
    writer: Sequence[object],
    bind: Callable[[ModelIndex], BoundIndex],
) -> Keys:
    """Return the keys under which the artifacts of a pipeline are stored, built or not.

    `writer` as in `chunks_key`, `bind` as in `index_parts`.
    """
    chunks = chunks_key(spec, encoder, corpus, writer)
    parts = index_parts(spec, corpus.language, bind)
    return Keys(chunks, {name: (part, _index_key(part, chunks, spec, encoder)) for name, part in parts.items()})


def chunks_key(spec: PipelineSpec, encoder: Encoder, corpus: Corpus, writer: Sequence[object] = ()) -> str:
    """Return the key of the chunk table of a pipeline. `writer`: what identifies the language model, if any."""
    part = spec.chunker
    facts = [*_facts(part), encoder.tokenizer.identity, corpus.digest]
    if isinstance(part, VectorChunker):
        facts.append(encoder.vectors_key)
    if isinstance(spec.chunk_context, DescribedContext | WrittenContext):
        facts += [_facts(spec.chunk_context), writer if spec.chunk_context.uses_llm else None]
        facts.append(source_digest("rag_opt.pipeline.chunk_context"))
    return digest([*facts, versions("tokenizers", *part.libraries)])


def _index_key(part: Index, chunks: str, spec: PipelineSpec, encoder: Encoder) -> str:
    if isinstance(part, BoundIndex):
        return digest([part.key, chunks, versions(*part.libraries)])
    reads: object = encoder.vectors_key if isinstance(part, VectorIndex) else "texts"
    if isinstance(part, VectorIndex) and shapes_vectors(spec):
        reads = [reads, spec.embedder.kind, strict.dump(spec.embedder), source_digest("rag_opt.pipeline.chunk_vectors")]
    return digest([*_facts(part), chunks, reads, versions(*part.libraries)])


def distilled_key(part: DistillingEmbedder, source: Encoder) -> str:
    """Return the key of the model that a part makes of another one."""
    return digest([*_facts(part), source.files_digest, versions(*part.libraries)])


def shapes_vectors(spec: PipelineSpec) -> bool:
    """Return whether the vectors of chunks are more than what the model gives for their text."""
    return isinstance(spec.embedder, LateChunkingEmbedder | ProjectingEmbedder)


def _facts(part: Part) -> list[object]:
    return [part.kind, strict.dump(part), source_digest(type(part).__module__)]
