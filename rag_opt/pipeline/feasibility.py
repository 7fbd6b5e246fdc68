"""Whether a pipeline can exist: what its parts require of one another, of models, tokenizers and prompts."""

from __future__ import annotations

from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.prompts import Prompt
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.parts.interfaces import (
    ExtractiveGenerator,
    FeedbackQuery,
    LateChunkingEmbedder,
    LLMGenerator,
    ModelIndex,
    PairReranker,
    Part,
    Retriever,
    RoutingQuery,
    VectorChunker,
    VectorReranker,
    WithoutVectors,
    WrittenQuery,
)
from rag_opt.pipeline.resources import find_index_parts
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.text.tokenizer_names import find_tokenizer

_LISTS_OF_ROUTES = 2


def check_pipeline(
    spec: PipelineSpec,
    encoder: Encoder,
    *,
    has_llm: bool,
    rerankers: CardLibrary[RerankerCard],
    embedders: CardLibrary[EmbedderCard],
    prompts: CardLibrary[Prompt],
) -> None:
    """Raise ImpossiblePipeline for a pipeline that cannot exist.

    Raises BadInput for a card, a tokenizer or a prompt that is not there.
    """
    _check_embedder(spec, encoder)
    find_tokenizer(spec.packer.tokenizer, where="packer.tokenizer")
    if isinstance(spec.query, FeedbackQuery | WrittenQuery) and "dense" not in spec.retriever.index_queries():
        raise ImpossiblePipeline(f"{spec.query.kind} refines vectors, but {spec.retriever.kind} searches none")
    if isinstance(spec.query, RoutingQuery) and len(spec.retriever.index_queries()) < _LISTS_OF_ROUTES:
        raise ImpossiblePipeline(f"query {spec.query.kind} chooses between lists, but {spec.retriever.kind} has one")
    for part in (spec.chunk_context, spec.query, spec.reranker, spec.generator):
        if part.uses_llm and not has_llm:
            needs = "needs a language model; llm=openai_compatible names one"
            raise ImpossiblePipeline(f"{part.slot} {part.kind} {needs}")
    for index in find_index_parts(spec).values():
        if isinstance(index, ModelIndex):
            card, size = index.find_card(rerankers, embedders), spec.chunker.size + spec.chunk_context.most_tokens
            if size > card.reads_tokens:
                what = f"chunks of {size} tokens are longer than {index.name} reads ({card.reads_tokens})"
                raise ImpossiblePipeline(f"index {index.kind}: {what}")
    if isinstance(spec.reranker, PairReranker):
        spec.reranker.find_card(rerankers, embedders)
    if isinstance(spec.generator, LLMGenerator):
        spec.generator.check(prompts)


def _check_embedder(spec: PipelineSpec, encoder: Encoder) -> None:
    """Raise ImpossiblePipeline where the embedding model cannot do what the other parts ask."""
    if isinstance(spec.embedder, WithoutVectors):
        reading = next((part for slot, part in spec.parts() if slot != "embedder" and reads_vectors(part)), None)
        if reading is not None:
            raise ImpossiblePipeline(f"{reading.slot} {reading.kind} reads vectors, but embedder none gives none")
    else:
        if encoder.card.vectors != "dense":
            raise ImpossiblePipeline(f"{spec.embedder.name} gives sparse vectors: the retriever for it is sparse")
        readable, before = readable_tokens(spec, encoder), spec.chunk_context.most_tokens
        if spec.chunker.size + before > readable and searches_vectors(spec):
            size, name = spec.chunker.size, spec.embedder.name
            more = f" and {before} before them" if before else ""
            what = f"chunks of {size} tokens{more} are longer than {name} reads ({readable} tokens of text)"
            raise ImpossiblePipeline(what)
        if before and isinstance(spec.embedder, LateChunkingEmbedder):
            what = f"chunk_context {spec.chunk_context.kind} changes none of its vectors"
            raise ImpossiblePipeline(f"embedder {spec.embedder.kind} reads documents as they are: {what}")


def searches_vectors(spec: PipelineSpec) -> bool:
    """Return whether a pipeline compares vectors of chunks: then the model has to read them whole."""
    return "dense" in spec.retriever.index_queries() or isinstance(spec.reranker, VectorReranker)


def reads_vectors(part: Part) -> bool:
    """Return whether a part of any slot is handed vectors of the embedder."""
    if isinstance(part, VectorChunker | VectorReranker | ExtractiveGenerator | FeedbackQuery | WrittenQuery):
        return True
    return isinstance(part, Retriever) and "dense" in part.index_queries()


def readable_tokens(spec: PipelineSpec, encoder: Encoder) -> int:
    """Return the largest chunk that the embedder reads whole, in tokens of text."""
    if isinstance(spec.embedder, LateChunkingEmbedder) and spec.embedder.window is not None:
        return min(spec.embedder.window, encoder.document_tokens)
    return encoder.document_tokens
