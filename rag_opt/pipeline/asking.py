"""Asking: retrieve, fuse, rerank, cut, pack, answer, for many questions at once or for one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from rag_opt import config
from rag_opt.evidence import Hits
from rag_opt.parts.embedders.encoder import Encoder
from rag_opt.pipeline.planning import Ledger
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.pipeline.texts import Texts
from rag_opt.records import Answer, Candidates, FloatArray, IntArray, Question, Span
from rag_opt.registry import source_digest
from rag_opt.store.keys import digest, item_key
from rag_opt.store.values import Values

if TYPE_CHECKING:
    from rag_opt.pipeline.building import ChunkTable

OpenIndex = Callable[[str], Any]


@dataclass(frozen=True)
class Responses:
    """What a pipeline returned, a row per question.

    `hits`: those that reached the context, [questions, top_k]; `scores` [questions, top_k] (-inf: none);
    `contexts`: passages in the order they are read; `latency_ms`: milliseconds per stage.
    Retrieval is timed question by question. Embedding, reranking and answering are shared over the batch they
    were first done in; an answer's share includes embedding what no stage before it had embedded.
    Times of stored results are stored with them.
    """

    hits: Hits
    scores: NDArray[np.float32]
    contexts: list[tuple[Span, ...]]
    context_tokens: IntArray
    answers: list[Answer]
    latency_ms: dict[str, FloatArray]


@dataclass(frozen=True)
class Retrieved:
    """What is known before anything is answered: as in `Responses`, and the questions' vectors."""

    vectors: NDArray[np.float32]
    hits: Hits
    scores: NDArray[np.float32]
    contexts: list[tuple[Span, ...]]
    context_tokens: IntArray
    latency_ms: dict[str, FloatArray]


class Pipeline:
    def __init__(
        self,
        *,
        spec: PipelineSpec,
        texts: Texts,
        chunks: ChunkTable,
        encoder: Encoder,
        values: Values,
        index_keys: Mapping[str, str],
        index_parts: Mapping[str, Any],
        open_index: OpenIndex,
        ledger: Ledger,
    ) -> None:
        self.spec = spec
        self.texts = texts
        self.corpus = texts.corpus
        self.chunks = chunks
        self.encoder = encoder
        self.index_keys = dict(index_keys)
        self.open_index = open_index
        self._values = values
        self._parts = dict(index_parts)
        self._ledger = ledger

    def ask(self, questions: Sequence[Question]) -> Responses:
        """Answer the questions; a question's filters limit what may be returned for it."""
        found = self.retrieve(questions)
        answers, answer_ms = self._answer(questions, found.vectors, found.contexts)
        latency = {**found.latency_ms, "answer": answer_ms}
        return Responses(found.hits, found.scores, found.contexts, found.context_tokens, answers, latency)

    def retrieve(self, questions: Sequence[Question]) -> Retrieved:
        """All that comes before answering."""
        vectors, embed_ms = self.encoder.timed_vectors([question.text for question in questions], "query")
        lists, search_ms = self._lists(questions, vectors)
        latency = {"embed": embed_ms, **search_ms}
        started = time.perf_counter()
        fused = self.spec.retriever.fuse(lists)
        latency["fuse"] = _share(started, len(questions))
        candidates, latency["rerank"] = self._rerank(fused)
        started = time.perf_counter()
        hits, scores, contexts, tokens = self._pack(candidates.cut(self.spec.retriever.top_k))
        latency["pack"] = _share(started, len(questions))
        return Retrieved(vectors, hits, scores, contexts, tokens, latency)

    def lists(self, questions: Sequence[Question]) -> dict[str, Candidates]:
        """What each index returns for the questions, to the retriever's depth, before anything is made of it."""
        return self.timed_lists(questions)[0]

    def timed_lists(self, questions: Sequence[Question]) -> tuple[dict[str, Candidates], dict[str, FloatArray]]:
        """The lists, and the milliseconds that each question took when it was first searched for."""
        return self._lists(questions, self.encoder.vectors([question.text for question in questions], "query"))

    def _lists(
        self, questions: Sequence[Question], vectors: NDArray[np.float32]
    ) -> tuple[dict[str, Candidates], dict[str, FloatArray]]:
        found = {name: self._search(name, questions, vectors) for name in self.spec.retriever.indexes()}
        took = {f"search_{name}": elapsed_ms for name, (_, elapsed_ms) in found.items()}
        return {name: lists for name, (lists, _) in found.items()}, took

    def _search(
        self, name: str, questions: Sequence[Question], vectors: NDArray[np.float32]
    ) -> tuple[Candidates, FloatArray]:
        depth = self.spec.retriever.depth
        reads_vectors = self._parts[name].reads == "vectors"
        keys = list_keys(self.index_keys[name], depth, questions)

        def compute(positions: list[int]) -> list[bytes]:
            with self._ledger.timed(f"search {self._parts[name].kind}", len(positions)):
                return search(positions)

        def search(positions: list[int]) -> list[bytes]:
            index = self.open_index(name)
            found = []
            for position in positions:
                question = questions[position]
                query = vectors[position : position + 1] if reads_vectors else [question.text]
                started = time.perf_counter()
                one = index.search(query, depth, allowed=self._allowed(question.filters))
                elapsed_ms = (time.perf_counter() - started) * 1000
                found.append(_pack_list(one.chunks[0], one.scores[0], elapsed_ms))
            return found

        return _unpack_lists(self._values.fill("candidates", keys, compute), depth)

    def _allowed(self, filters: Mapping[str, Any]) -> NDArray[np.int32] | None:
        if not filters:
            return None
        fits = [all(one.get(k) == v for k, v in filters.items()) for one in self.corpus.metadata]
        return np.flatnonzero(np.array(fits)[self.chunks.document]).astype(np.int32)

    def _rerank(self, candidates: Candidates) -> tuple[Candidates, FloatArray]:
        part = self.spec.reranker
        if "chunk_vectors" not in part.needs:
            return part.rerank(candidates), np.zeros(len(candidates.chunks))
        facts = [config.dump(part), source_digest(part.__module__), self.index_keys["dense"]]
        namespace = digest(facts)
        rows = range(len(candidates.chunks))
        keys = [item_key(namespace, [candidates.chunks[r], candidates.scores[r].astype(float).tolist()]) for r in rows]

        def compute(positions: list[int]) -> list[bytes]:
            some = Candidates(candidates.chunks[positions], candidates.scores[positions])
            index = self.open_index("dense")
            started = time.perf_counter()
            with self._ledger.timed(f"rerank {part.kind}", len(positions)):
                done = part.rerank(some, chunk_vectors=index.vectors)
            elapsed_ms = (time.perf_counter() - started) * 1000 / len(positions)
            return [_pack_list(c, s, elapsed_ms) for c, s in zip(done.chunks, done.scores, strict=True)]

        return _unpack_lists(self._values.fill("reranked", keys, compute), candidates.chunks.shape[1])

    def _pack(self, candidates: Candidates) -> tuple[Hits, NDArray[np.float32], list[tuple[Span, ...]], IntArray]:
        count, ranks = candidates.chunks.shape
        hits, scores = Hits.empty(count, ranks), np.full((count, ranks), -np.inf, np.float32)
        contexts: list[tuple[Span, ...]] = []
        tokens = np.zeros(count, np.int64)
        for row, ids in enumerate(candidates.chunks):
            chunks = ids[ids >= 0]
            columns = (self.chunks.document[chunks], self.chunks.start[chunks], self.chunks.end[chunks])
            names = self.corpus.ids
            spans = [Span(names[d], s, e) for d, s, e in zip(*(c.tolist() for c in columns), strict=True)]
            packed = self.spec.packer.pack(spans, count=self.texts.tokens)
            for array, column in zip((hits.document, hits.start, hits.end), columns, strict=True):
                array[row, : packed.kept] = column[: packed.kept]
            scores[row, : packed.kept] = candidates.scores[row, : packed.kept]
            contexts.append(packed.passages)
            tokens[row] = packed.tokens
        return hits, scores, contexts, tokens

    def _answer(
        self, questions: Sequence[Question], vectors: NDArray[np.float32], contexts: Sequence[Sequence[Span]]
    ) -> tuple[list[Answer], FloatArray]:
        part = self.spec.generator
        facts = [
            part.kind,
            config.dump(part),
            source_digest(part.__module__),
            source_digest("rag_opt.pipeline.texts"),
        ]
        namespace = digest([*facts, self.encoder.vectors_key])
        # sentences are found in whole documents, so what stands around a passage is part of what determined it
        read = self.texts.digest
        passages = [[[s.document_id, s.start, s.end, read(s.document_id)] for s in context] for context in contexts]
        keys = [item_key(namespace, [q.text, context]) for q, context in zip(questions, passages, strict=True)]

        def compute(positions: list[int]) -> list[bytes]:
            clock = _Clock(self.encoder)
            with self._ledger.timed(f"answer {part.kind}", len(positions)):
                made = part.answer(
                    vectors[positions],
                    [contexts[position] for position in positions],
                    sentences=self._sentences,
                    text=self.texts.of,
                    vectors=clock.vectors,
                )
            elapsed_ms = clock.elapsed_ms() / len(positions)
            return [orjson.dumps([a.text, a.refused, [[*_plain(s)] for s in a.cited], elapsed_ms]) for a in made]

        stored = [orjson.loads(value) for value in self._values.fill("answers", keys, compute)]
        answers = [Answer(text, refused, tuple(Span(*span) for span in cited)) for text, refused, cited, _ in stored]
        return answers, np.array([elapsed_ms for *_, elapsed_ms in stored], float)

    def _sentences(self, span: Span) -> list[Span]:
        """The sentences of a span, none longer than the model reads."""
        return self.texts.sentences(span, tokenizer=self.encoder.tokenizer, most_tokens=self.encoder.document_tokens)


def list_keys(index_key: str, depth: int, questions: Sequence[Question]) -> list[bytes]:
    """Under what an index's lists are stored, one per question."""
    return [item_key(index_key, [depth, q.text, dict(q.filters)]) for q in questions]


class _Clock:
    """Time spent since it was made, with vectors counted at what they first took, stored or not."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._started = time.perf_counter()
        self._vectors_ms = 0.0
        self._waited = 0.0

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        started = time.perf_counter()
        vectors, took_ms = self._encoder.timed_vectors(texts, "sentence")
        self._vectors_ms += float(took_ms.sum())
        self._waited += time.perf_counter() - started
        return vectors

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self._started - self._waited) * 1000 + self._vectors_ms


def _plain(span: Span) -> tuple[str, int, int]:
    return span.document_id, span.start, span.end


def _share(started: float, questions: int) -> FloatArray:
    return np.full(questions, (time.perf_counter() - started) * 1000 / max(questions, 1))


def _pack_list(chunks: NDArray[np.int32], scores: NDArray[np.float32], elapsed_ms: float) -> bytes:
    valid = chunks >= 0
    return np.float32(elapsed_ms).tobytes() + chunks[valid].tobytes() + scores[valid].tobytes()


def _unpack_lists(values: Sequence[bytes], depth: int) -> tuple[Candidates, FloatArray]:
    elapsed_ms = np.array([np.frombuffer(value[:4], np.float32)[0] for value in values], float)
    rows = []
    for value in values:
        middle = 4 + (len(value) - 4) // 2
        rows.append((np.frombuffer(value[4:middle], np.int32), np.frombuffer(value[middle:], np.float32)))
    return Candidates.stack(rows, depth), elapsed_ms
