"""Asking a pipeline: retrieve, fuse, rerank, cut, pack, answer, for many questions at once or for one."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.arrays import FloatArray, IntArray
from rag_opt.core.documents import Answer, Span
from rag_opt.core.filters import fit, read_conditions
from rag_opt.core.questions import Question
from rag_opt.core.rank_fusion import limit_per_group
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.metrics.evidence import RetrievedSpans
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.prompts import Prompt
from rag_opt.models.reranker_resources import PairScorer
from rag_opt.parts.interfaces import Generator, Index, LLMGenerator, PairReranker, PassagesOnly
from rag_opt.parts.open_indexes import OpenIndex, StoredVectors
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.pipeline.generation import Contexts, Generation
from rag_opt.pipeline.model_usage import ModelUsage
from rag_opt.pipeline.query_rewriting import QueryRewriting
from rag_opt.pipeline.reranking import Reranking
from rag_opt.pipeline.retrieval import Retrieval
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.pipeline.stage_timer import StageTimer
from rag_opt.store.values import Values

if TYPE_CHECKING:
    from rag_opt.pipeline.chunk_table import ChunkTable


@dataclass(frozen=True)
class Responses:
    """Everything that a pipeline returned, a row per question.

    `hits`: those that reached the context, [questions, top_k]; `scores` [questions, top_k] (-inf: none);
    `ranked`: the retriever's (or reranker's) list to its own depth, before it is cut and packed;
    `contexts`: passages in the order they are read; `latency_ms`: milliseconds per stage. `answered`: False where the
    pipeline gives no answers, and those here are empty.
    Retrieval is timed question by question. Embedding, reranking and answering are shared over the batch they
    were first done in; an answer's share includes embedding what no stage before it had embedded.
    Times of stored results are stored with them.
    """

    hits: RetrievedSpans
    ranked: RetrievedSpans
    scores: NDArray[np.float32]
    contexts: list[tuple[Span, ...]]
    context_tokens: IntArray
    answers: list[Answer]
    latency_ms: dict[str, FloatArray]
    usage: ModelUsage
    answered: bool = True


@dataclass(frozen=True)
class Retrieved:
    """Everything known before anything is answered: as in `Responses`, with the questions' vectors."""

    vectors: NDArray[np.float32]
    hits: RetrievedSpans
    ranked: RetrievedSpans
    scores: NDArray[np.float32]
    contexts: list[tuple[Span, ...]]
    context_tokens: IntArray
    latency_ms: dict[str, FloatArray]
    usage: ModelUsage


class Pipeline:
    """One pipeline over one corpus, ready to be asked. Indexes are opened when they are first needed.

    `at_once`: how many questions an index is asked together (`Retrieval`).
    """

    def __init__(
        self,
        *,
        spec: PipelineSpec,
        texts: CorpusText,
        chunks: ChunkTable,
        encoder: Encoder,
        values: Values,
        index_keys: Mapping[str, str],
        index_parts: Mapping[str, Index],
        open_index: Callable[[str], OpenIndex],
        scorer: Callable[[PairReranker], PairScorer],
        llm_client: LLMClient | None = None,
        prompt: Callable[[str], Prompt],
        stage_timer: StageTimer,
        at_once: int = 1,
    ) -> None:
        self.spec = spec
        self.texts = texts
        self.corpus = texts.corpus
        self.chunks = chunks
        self.encoder = encoder
        self.index_keys = dict(index_keys)
        self.open_index = open_index
        self.values = values
        self.llm_client = llm_client
        self._stage_timer = stage_timer
        self._retrieval = Retrieval(
            index_keys=index_keys,
            index_parts=index_parts,
            open_index=open_index,
            allowed=self._allowed,
            values=values,
            stage_timer=stage_timer,
            at_once=at_once,
        )
        self._reranking = Reranking(
            spec.reranker,
            values=values,
            stage_timer=stage_timer,
            text=self._returned_text,
            scorer=scorer,
            llm_client=llm_client,
            vectors_key=lambda: self.index_keys["dense"],
            chunk_vectors=lambda: self._dense().vectors,
        )
        self._generation = Generation(
            texts=texts, encoder=encoder, values=values, llm_client=llm_client, prompt=prompt, stage_timer=stage_timer
        )

    def _dense(self) -> StoredVectors:
        return cast(StoredVectors, self.open_index("dense"))

    @functools.cached_property
    def returned(self) -> tuple[IntArray, IntArray]:
        """Start and end of what a hit of each chunk returns: the chunk, or what the expander makes of it."""
        start, end = self.spec.expander.expand(self.chunks)
        return start, end

    @functools.cached_property
    def _same(self) -> IntArray | None:
        """By chunk the number of the span that it returns; None where every chunk returns its own."""
        start, end = self.returned
        if start is self.chunks.start and end is self.chunks.end:
            return None
        columns = np.stack([self.chunks.document, start, end])
        distinct, number = np.unique(columns, axis=1, return_inverse=True)
        return None if distinct.shape[1] == len(self.chunks) else number.reshape(-1)

    def _returned_text(self, chunk: int) -> str:
        start, end = self.returned
        document = self.corpus.documents[int(self.chunks.document[chunk])]
        return document.text[int(start[chunk]) : int(end[chunk])]

    def ask(self, questions: Sequence[Question]) -> Responses:
        """Return hits, contexts and answers; a question's filters limit what may be returned for it."""
        found = self.retrieve(questions)
        part, usage = self.spec.generator, found.usage
        answers, answer_ms = self._generation(part, questions, found.vectors, found.contexts, usage)
        return self._respond(found, answers, answer_ms)

    def _respond(self, found: Retrieved, answers: list[Answer], answer_ms: FloatArray) -> Responses:
        """Return what was retrieved with its answers."""
        return Responses(
            hits=found.hits,
            ranked=found.ranked,
            scores=found.scores,
            contexts=found.contexts,
            context_tokens=found.context_tokens,
            answers=answers,
            latency_ms={**found.latency_ms, "answer": answer_ms},
            usage=found.usage,
            answered=not isinstance(self.spec.generator, PassagesOnly),
        )

    def stream(self, question: Question) -> Iterator[str | Responses]:
        """Yield the answer of a language model in pieces as it says them, then everything that `ask` returns.

        No piece is yielded by a pipeline that asks none, or whose retrieval failed. Raises ServerFailed.
        """
        part = self.spec.generator
        if not isinstance(part, LLMGenerator) or self.llm_client is None:
            yield self.ask([question])
            return
        found = self.retrieve([question])
        if found.usage.failed[0]:
            yield self.ask([question])
            return
        request, read = self._generation.prepare(part, question, found.contexts[0])
        completion = yield from self.llm_client.stream(request)
        yield self._respond(found, [read(completion.text)], np.array([completion.took_ms]))

    def answer(
        self, questions: Sequence[Question], contexts: Contexts, *, generator: Generator | None = None
    ) -> Responses:
        """Return answers from contexts that are given, not retrieved; by another generator if one is named.

        Each passage counts as a hit, in the order given.
        """
        usage, width = ModelUsage(len(questions)), max(map(len, contexts), default=0)
        hits, scores = (
            RetrievedSpans.empty(len(questions), width),
            np.full((len(questions), width), -np.inf, np.float32),
        )
        for row, context in enumerate(contexts):
            for rank, span in enumerate(context):
                place = self.corpus.position[span.document_id], span.start, span.end
                hits.document[row, rank], hits.start[row, rank], hits.end[row, rank] = place
                scores[row, rank] = -rank
        vectors = self.encoder.vectors([question.text for question in questions], "query")
        part = generator or self.spec.generator
        answers, answer_ms = self._generation(part, questions, vectors, contexts, usage)
        tokens = np.array([sum(map(self.texts.tokens, context)) for context in contexts], np.int64)
        given, latency = [tuple(context) for context in contexts], {"answer": answer_ms}
        answered = not isinstance(part, PassagesOnly)
        return Responses(hits, hits, scores, given, tokens, answers, latency, usage, answered)

    def retrieve(self, questions: Sequence[Question]) -> Retrieved:
        """Return everything that comes before answering."""
        vectors, embed_ms = self.encoder.timed_vectors([question.text for question in questions], "query")
        usage = ModelUsage(len(questions))
        lists, search_ms = self._lists(questions, vectors, usage)
        latency = {"embed": embed_ms, **search_ms}
        started = time.perf_counter()
        fused = self._limited(self.spec.retriever.fuse(lists))
        latency["fuse"] = _share(started, len(questions))
        candidates, latency["rerank"] = self._reranking(questions, fused, usage)
        started = time.perf_counter()
        hits, scores, contexts, tokens = self._pack(candidates.cut(self.spec.retriever.top_k))
        latency["pack"] = _share(started, len(questions))
        return Retrieved(vectors, hits, self._spans(candidates), scores, contexts, tokens, latency, usage)

    def _spans(self, lists: RankedLists) -> RetrievedSpans:
        """Return what the hits of some lists return."""
        start, end = self.returned
        chunks, known = np.maximum(lists.chunks, 0), lists.chunks >= 0
        document = np.where(known, self.chunks.document[chunks], -1).astype(np.int64)
        return RetrievedSpans(document, np.where(known, start[chunks], 0), np.where(known, end[chunks], 0))

    def _limited(self, fused: RankedLists) -> RankedLists:
        """Keep each returned span once, and no more of one document than the retriever allows."""
        if self._same is not None:
            fused = limit_per_group(fused, self._same, 1)
        most = self.spec.retriever.per_document
        return fused if most is None else limit_per_group(fused, self.chunks.document, most)

    def lists(self, questions: Sequence[Question]) -> dict[str, RankedLists]:
        """Return the lists of each index for the questions, to the retriever's depth, before they are fused."""
        return self.timed_lists(questions)[0]

    def timed_lists(self, questions: Sequence[Question]) -> tuple[dict[str, RankedLists], dict[str, FloatArray]]:
        """Return the lists, and the milliseconds that each question took when it was first searched for."""
        vectors = self.encoder.vectors([question.text for question in questions], "query")
        return self._lists(questions, vectors, ModelUsage(len(questions)))

    def _lists(
        self, questions: Sequence[Question], vectors: NDArray[np.float32], usage: ModelUsage
    ) -> tuple[dict[str, RankedLists], dict[str, FloatArray]]:
        queries = self.spec.retriever.index_queries()
        rewriting = QueryRewriting(self.spec.query, self._retrieval, self.encoder, self.llm_client, self._stage_timer)
        search, rewrite_ms = rewriting.search(questions, vectors, usage)
        found = {name: search(name, query) for name, query in queries.items()}
        took_ms = {f"search_{name}": elapsed_ms for name, (_, elapsed_ms) in found.items()}
        if self.spec.query.uses_llm:
            took_ms["rewrite"] = rewrite_ms
        return {name: lists for name, (lists, _) in found.items()}, took_ms

    def _allowed(self, question: Question) -> NDArray[np.int32] | None:
        """Return the chunks that may be returned for a question; None where all may."""
        if not question.filters and not question.exclude:
            return None
        conditions = read_conditions(question.filters)
        fits = np.array([fit(metadata, conditions) for metadata in self.corpus.metadata], bool)
        fits[[self.corpus.position[name] for name in question.exclude if name in self.corpus.position]] = False
        return np.flatnonzero(fits[self.chunks.document]).astype(np.int32)

    def _pack(
        self, candidates: RankedLists
    ) -> tuple[RetrievedSpans, NDArray[np.float32], list[tuple[Span, ...]], IntArray]:
        count, ranks = candidates.chunks.shape
        hits, scores = RetrievedSpans.empty(count, ranks), np.full((count, ranks), -np.inf, np.float32)
        contexts: list[tuple[Span, ...]] = []
        tokens = np.zeros(count, np.int64)
        start, end = self.returned
        for row, ids in enumerate(candidates.chunks):
            chunks = ids[ids >= 0]
            columns = (self.chunks.document[chunks], start[chunks], end[chunks])
            names = self.corpus.ids
            spans = [Span(names[d], s, e) for d, s, e in zip(*(c.tolist() for c in columns), strict=True)]
            packed = self.spec.packer.pack(spans, count=self.texts.tokens)
            for array, column in zip((hits.document, hits.start, hits.end), columns, strict=True):
                array[row, : packed.kept] = column[: packed.kept]
            scores[row, : packed.kept] = candidates.scores[row, : packed.kept]
            contexts.append(packed.passages)
            tokens[row] = packed.tokens
        return hits, scores, contexts, tokens


def _share(started: float, questions: int) -> FloatArray:
    return np.full(questions, (time.perf_counter() - started) * 1000 / max(questions, 1))
