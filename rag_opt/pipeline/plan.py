"""Plans: what a pipeline would have to compute, known from keys alone, before a model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from rag_opt.core.questions import Question
from rag_opt.models.encoder import Encoder
from rag_opt.parts.index_queries import IndexQuery
from rag_opt.parts.interfaces import (
    BoundIndex,
    Chunker,
    FeedbackQuery,
    Index,
    LateChunkingEmbedder,
    Packer,
    PassagesOnly,
    Retriever,
    RewordingQuery,
    RoutingQuery,
    TextIndex,
    VectorChunker,
    VectorIndex,
    WithoutVectors,
)
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.chunk_table import ChunkTable
from rag_opt.pipeline.reranking import rerank_stage, rerank_work, takes_time
from rag_opt.pipeline.retrieval import list_keys, query_facts
from rag_opt.pipeline.spec import PipelineSpec

_USUAL_PIECE_TOKENS = 30  # of what a chunker compares


@dataclass(frozen=True)
class Stage:
    """One stage of a plan: `missing` of `total` values or artifacts.

    `work` of the missing is what its time grows with: characters to chunk, tokens to embed, chunks to index, questions
    to search, rerank and answer. `key`: what it makes, equal in every pipeline that needs the same. `counted` False:
    what comes before it is missing itself, so that this is an expectation or an upper bound.
    """

    name: str
    key: str
    missing: int
    total: int
    work: float
    counted: bool = True


@dataclass(frozen=True)
class Plan:
    """Every stage of a pipeline, in the order of the work."""

    stages: tuple[Stage, ...]

    @property
    def missing(self) -> tuple[Stage, ...]:
        """Stages with something left to do."""
        return tuple(stage for stage in self.stages if stage.missing)

    def __getitem__(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)


class Planner:
    """Plans pipelines of one builder for some questions. A stage that was found complete is not looked up again."""

    def __init__(self, builder: PipelineBuilder, questions: Sequence[Question]) -> None:
        self._builder = builder
        self._questions = tuple(questions)
        self._complete: dict[tuple[str, ...], Stage] = {}
        self._tokens: dict[tuple[str, str], dict[bytes, int]] = {}

    def plan(self, spec: PipelineSpec) -> Plan:
        """Return what is missing; nothing is built, no model loaded.

        Raises ImpossiblePipeline, and BadInput for a model without a card.
        """
        self._builder.check(spec)
        builder, encoder = self._builder, self._builder.encoder(spec.embedder)
        keys = builder.keys(spec)
        stages = [self._once(("chunk", keys.chunks), partial(self._chunk, spec, keys.chunks))]
        if spec.chunk_context.uses_llm:
            stages.append(self._once(("context", keys.chunks), partial(self._context, spec, keys.chunks, encoder)))
        if encoder.made_here:
            stages.append(self._once(("distil", encoder.files_digest), partial(self._distil, encoder)))
        if isinstance(spec.chunker, VectorChunker):
            stages.append(self._once(("pieces", keys.chunks), partial(self._embed_pieces, spec, keys.chunks, encoder)))
        if not isinstance(spec.embedder, WithoutVectors):
            stages.append(self._once(("ask", encoder.vectors_key), partial(self._embed_questions, encoder)))
        for name, (part, key) in keys.indexes.items():
            if isinstance(part, VectorIndex):
                stages.append(self._once(("embed", key), partial(self._embed, spec, key, encoder)))
            if isinstance(part, BoundIndex):
                stages.append(self._once(("weigh", key), partial(self._weigh, spec, part, key, encoder)))
            stages.append(self._once(("index", key), partial(self._index, spec, part, key)))
            query = spec.retriever.index_queries().get(name)
            if query is not None:
                # words are searched for as they were asked, unless the question is reworded
                same = isinstance(part, TextIndex) and not isinstance(spec.query, RewordingQuery | RoutingQuery)
                written = repr([query, None if same else spec.query])
                stages.append(self._once(("search", key, written), partial(self._search, spec, part, key, query)))
        return Plan((*stages, *self._always(spec)))

    def outline(self, spec: PipelineSpec) -> Plan:
        """Return all stages, with the work expected of each if nothing were stored: it follows from the spec alone."""
        self._builder.check(spec)
        builder, encoder, count = self._builder, self._builder.encoder(spec.embedder), len(self._questions)
        keys, (chunks, tokens) = builder.keys(spec), self._expected(spec, encoder)
        corpus = builder.readings.corpus(spec.reader)
        stages = [_expected(f"chunk {spec.chunker.kind}", keys.chunks, len(corpus.documents), corpus.characters)]
        if spec.chunk_context.uses_llm:
            stages.append(_expected(f"context {spec.chunk_context.kind}", keys.chunks, chunks, chunks))
        if encoder.made_here:
            stages.append(_expected(f"distil {encoder.card.id}", encoder.files_digest, 1, 1))
        if isinstance(spec.chunker, VectorChunker):
            stages.append(self._pieces(spec, encoder))
        for name, (part, key) in keys.indexes.items():
            if isinstance(part, VectorIndex):
                stages.append(
                    _expected(encoder.stage("document"), _vectors_of(keys.chunks, spec, encoder), chunks, tokens)
                )
            if isinstance(part, BoundIndex):
                stages.append(_expected(f"embed {part.card.id}", f"{keys.chunks} {part.key}", chunks, tokens))
            stages.append(_expected(f"index {part.kind}", key, 1, chunks))
            query = spec.retriever.index_queries().get(name)
            if query is not None:
                stages.append(_expected(f"search {part.kind}", f"{key} {query!r} {spec.query!r}", count, count))
        return Plan((*stages, *self._always(spec)))

    def _always(self, spec: PipelineSpec) -> list[Stage]:
        """Return the stages that cannot be looked up before the lists are there."""
        count, stages = len(self._questions), list[Stage]()
        if spec.query.uses_llm:
            stages.append(_expected(f"rewrite {spec.query.kind}", spec.digest, count, count))
        if takes_time(spec.reranker):
            work = rerank_work(spec.reranker, count)
            stages.append(_expected(rerank_stage(spec.reranker), spec.digest, count, work))
        if isinstance(spec.generator, PassagesOnly):
            return stages
        tokens = count * expected_context_tokens(spec.retriever, spec.chunker, spec.packer)
        return [*stages, _expected(f"answer {spec.generator.kind}", spec.digest, count, tokens)]

    def _once(self, key: tuple[str, ...], look: Callable[[], Stage]) -> Stage:
        if key in self._complete:
            return self._complete[key]
        stage = look()
        if not stage.missing:
            self._complete[key] = stage
        return stage

    def _chunk(self, spec: PipelineSpec, key: str) -> Stage:
        done = self._builder.store.has("chunks", key)
        corpus = self._builder.readings.corpus(spec.reader)
        count, work = len(corpus.documents), 0 if done else corpus.characters
        return Stage(f"chunk {spec.chunker.kind}", key, 0 if done else count, count, work)

    def _context(self, spec: PipelineSpec, key: str, encoder: Encoder) -> Stage:
        """Return the writing of a line for every chunk; what is stored of its calls is not looked up."""
        name = f"context {spec.chunk_context.kind}"
        count = self._expected(spec, encoder)[0]
        return (
            Stage(name, key, 0, count, 0)
            if self._builder.store.has("chunks", key)
            else _expected(name, key, count, count)
        )

    def _distil(self, encoder: Encoder) -> Stage:
        done = self._builder.store.has("distilled", encoder.files_digest)
        return Stage(f"distil {encoder.card.id}", encoder.files_digest, 0 if done else 1, 1, 0 if done else 1)

    def _embed_pieces(self, spec: PipelineSpec, key: str, encoder: Encoder) -> Stage:
        if self._builder.store.has("chunks", key):
            return Stage(encoder.stage("document"), f"pieces {key}", 0, 0, 0)
        return self._pieces(spec, encoder)

    def _pieces(self, spec: PipelineSpec, encoder: Encoder) -> Stage:
        """Return the embedding of all of the text in small pieces, for a chunker that compares them."""
        count, tokens = self._expected(spec, encoder)
        pieces = max(count, round(tokens / _USUAL_PIECE_TOKENS))
        tokens += (pieces - count) * encoder.tokenizer.special_tokens
        kind = f"pieces of {spec.chunker.kind} {encoder.files_digest}"
        return _expected(encoder.stage("document"), kind, pieces, tokens)

    def _embed_questions(self, encoder: Encoder) -> Stage:
        texts = list(dict.fromkeys(question.text for question in self._questions))
        keys = encoder.keys(texts, "query")
        known = self._builder.store.values.find_known("vectors", keys)
        missing = [text for text, key in zip(texts, keys, strict=True) if key not in known]
        tokens = int(encoder.tokenizer.lengths(missing).sum()) if missing else 0
        return Stage(encoder.stage("query"), encoder.vectors_key, len(missing), len(texts), tokens)

    def _embed(self, spec: PipelineSpec, key: str, encoder: Encoder) -> Stage:
        builder, name = self._builder, encoder.stage("document")
        made = _vectors_of(builder.keys(spec).chunks, spec, encoder)
        if builder.store.has("indexes", key):
            return Stage(name, made, 0, 0, 0)
        table = builder.stored_chunks(spec)
        if table is None:
            count, tokens = self._expected(spec, encoder)
            return Stage(name, made, count, count, tokens, counted=False)
        if isinstance(spec.embedder, LateChunkingEmbedder):
            return Stage(name, made, len(table), len(table), self._expected(spec, encoder)[1], counted=False)
        sizes = self._sizes(table, encoder, spec)
        missing = sizes.keys() - builder.store.values.find_known("vectors", list(sizes))
        read = sum(min(sizes[one], encoder.card.reads_tokens) for one in missing)
        return Stage(name, made, len(missing), len(sizes), read)

    def _weigh(self, spec: PipelineSpec, part: BoundIndex, key: str, encoder: Encoder) -> Stage:
        """Return the encoding of all chunks by an index's own model; what is stored of it is not looked up."""
        count, tokens = self._expected(spec, encoder)
        name, made = f"embed {part.card.id}", f"{self._builder.keys(spec).chunks} {part.key}"
        if self._builder.store.has("indexes", key):
            return Stage(name, made, 0, count, 0)
        return _expected(name, made, count, tokens)

    def _sizes(self, table: ChunkTable, encoder: Encoder, spec: PipelineSpec) -> dict[bytes, int]:
        """Return tokens by the key of each chunk's vector, worked out once: it hashes every text."""
        known = (f"{table.digest} {spec.reader!r}", encoder.vectors_key)
        if known not in self._tokens:
            keys = encoder.keys(table.texts(self._builder.readings.corpus(spec.reader)), "document")
            self._tokens[known] = dict(zip(keys, table.tokens.tolist(), strict=True))
        return self._tokens[known]

    def _index(self, spec: PipelineSpec, part: Index, key: str) -> Stage:
        name, done = f"index {part.kind}", self._builder.store.has("indexes", key)
        if done:
            return Stage(name, key, 0, 1, 0)
        table = self._builder.stored_chunks(spec)
        if table is not None:
            return Stage(name, key, 1, 1, len(table))
        count, _ = self._expected(spec, self._builder.encoder(spec.embedder))
        return Stage(name, key, 1, 1, count, counted=False)

    def _search(self, spec: PipelineSpec, part: Index, key: str, query: IndexQuery) -> Stage:
        name = f"{key} {query!r} {spec.query!r}"
        on_vectors = isinstance(part, VectorIndex)
        if isinstance(spec.query, RewordingQuery | RoutingQuery) or (spec.query.uses_llm and on_vectors):
            # what it writes is not known before
            return _expected(f"search {part.kind}", name, len(self._questions), len(self._questions))
        refined = on_vectors and isinstance(spec.query, FeedbackQuery)
        keys = list_keys(key, query, self._questions, query_facts=query_facts(spec.query) if refined else None)
        missing = len(set(keys) - self._builder.store.values.find_known("candidates", keys))
        return Stage(f"search {part.kind}", name, missing, len(set(keys)), missing)

    def _expected(self, spec: PipelineSpec, encoder: Encoder) -> tuple[int, float]:
        """Return (chunks, tokens to embed) of a corpus that was not cut so yet, from its length and the chunker."""
        size, overlap = spec.chunker.size, spec.chunker.expected_overlap
        tokens = self._builder.corpus_tokens(encoder, self._builder.readings.corpus(spec.reader)) / (1 - overlap)
        count = max(round(tokens / size), 1)
        return count, tokens + count * (encoder.tokenizer.special_tokens + spec.chunk_context.most_tokens)


def expected_context_tokens(retriever: Retriever, chunker: Chunker, packer: Packer) -> float:
    """Return about how many tokens of context a generator reads for a question: the work of an answer."""
    return float(min(packer.context_tokens, retriever.top_k * chunker.size))


def _expected(name: str, key: str, count: int, work: float) -> Stage:
    return Stage(name, key, count, count, work, counted=False)


def _vectors_of(chunks_key: str, spec: PipelineSpec, encoder: Encoder) -> str:
    """Return what names the vectors of a chunking at a model's full width.

    Variants cut from them are made of the same vectors, and so are all chunkings of what is read in windows.
    """
    late = isinstance(spec.embedder, LateChunkingEmbedder)
    return f"{spec.embedder!r} {encoder.files_digest}" if late else f"{chunks_key} {encoder.files_digest}"


def plan(builder: PipelineBuilder, spec: PipelineSpec, questions: Sequence[Question]) -> Plan:
    """Return which artifacts of a pipeline are missing, and how much work they are; no model is loaded for it."""
    return Planner(builder, questions).plan(spec)
