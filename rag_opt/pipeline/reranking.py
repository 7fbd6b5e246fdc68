"""Reranking: candidates in a new order, each list or each pair of question and text scored once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rag_opt.core import strict
from rag_opt.core.arrays import FloatArray
from rag_opt.core.digests import digest, item_key
from rag_opt.core.questions import Question
from rag_opt.core.rank_fusion import reorder
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.source_digest import source_digest
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.reranker_resources import PairScorer
from rag_opt.parts.interfaces import ChunkVectors, ListReranker, LLMReranker, PairReranker, Reranker, VectorReranker
from rag_opt.pipeline.model_usage import ModelUsage
from rag_opt.pipeline.retrieval import Timed, pack_list, unpack_lists
from rag_opt.pipeline.stage_timer import StageTimer
from rag_opt.store.values import Values

_PAIRS_AT_ONCE = 2048
_PAIR = np.dtype([("score", "<f4"), ("ms", "<f4")])


class Reranking:
    """The reranker of one pipeline.

    `text` gives what a chunk returns, `scorer` the model of a part that scores pairs; `vectors_key` and `chunk_vectors`
    are those of the dense index.
    """

    def __init__(
        self,
        part: Reranker,
        *,
        values: Values,
        stage_timer: StageTimer,
        text: Callable[[int], str],
        scorer: Callable[[PairReranker], PairScorer],
        llm_client: LLMClient | None,
        vectors_key: Callable[[], str],
        chunk_vectors: Callable[[], ChunkVectors],
    ) -> None:
        self._part, self._values, self._stage_timer = part, values, stage_timer
        self._text, self._scorer, self._llm_client = text, scorer, llm_client
        self._vectors_key, self._chunk_vectors = vectors_key, chunk_vectors

    def __call__(self, questions: Sequence[Question], candidates: RankedLists, usage: ModelUsage) -> Timed:
        """Return the candidates in their new order, and the milliseconds of each question's first reranking."""
        part = self._part
        if isinstance(part, PairReranker):
            return self._by_pairs(part, questions, candidates)
        if isinstance(part, LLMReranker):
            return self._by_llm(part, questions, candidates, usage)
        if isinstance(part, VectorReranker):
            return self._by_vectors(part, candidates)
        return part.rerank(candidates), np.zeros(len(candidates.chunks))

    def _by_vectors(self, part: VectorReranker, candidates: RankedLists) -> Timed:
        namespace = digest([strict.dump(part), source_digest(type(part).__module__), self._vectors_key()])
        rows = range(len(candidates.chunks))
        keys = [item_key(namespace, [candidates.chunks[r], candidates.scores[r].astype(float).tolist()]) for r in rows]

        def compute(positions: list[int]) -> list[bytes]:
            some = RankedLists(candidates.chunks[positions], candidates.scores[positions])
            chunk_vectors = self._chunk_vectors()
            started = time.perf_counter()
            with self._stage_timer.timed(rerank_stage(part), len(positions)):
                done = part.rerank_by_vectors(some, chunk_vectors=chunk_vectors)
            elapsed_ms = (time.perf_counter() - started) * 1000 / len(positions)
            return [pack_list(c, s, elapsed_ms) for c, s in zip(done.chunks, done.scores, strict=True)]

        return unpack_lists(self._values.fill("reranked", keys, compute), candidates.chunks.shape[1])

    def _by_llm(
        self, part: LLMReranker, questions: Sequence[Question], candidates: RankedLists, usage: ModelUsage
    ) -> Timed:
        """Order the first `depth` of each list as a language model ranks them, all seen together."""
        assert self._llm_client is not None
        chunks = candidates.chunks[:, : part.depth]
        texts = [[self._text(chunk) for chunk in row[row >= 0].tolist()] for row in chunks]
        several = [row for row, shown in enumerate(texts) if len(shown) > 1]
        with self._stage_timer.timed(rerank_stage(part), rerank_work(part, len(several))):
            requests = [part.request(questions[row].text, texts[row]) for row in several]
            replies = usage.complete(self._llm_client, requests, several)
        elapsed_ms = np.zeros(len(questions))
        scores = np.where(chunks >= 0, -np.arange(chunks.shape[1], dtype=float), -np.inf)
        for row, reply in zip(several, replies, strict=True):
            if reply is not None:
                order = part.read_ranking(reply.text, len(texts[row]))
                if not order:
                    usage.count_unused(
                        row, f"{rerank_stage(part)}: the reply names no passage, so nothing is reordered"
                    )
                scores[row, order] = -np.arange(len(order), dtype=float)
                elapsed_ms[row] = reply.took_ms
        return reorder(candidates, scores), elapsed_ms

    def _by_pairs(self, part: PairReranker, questions: Sequence[Question], candidates: RankedLists) -> Timed:
        """Order the first `depth` of each list by the scores of its pairs; what stands after them stays there."""
        chunks = candidates.chunks[:, : part.depth]
        rows, ranks = np.nonzero(chunks >= 0)
        numbered = zip(rows.tolist(), chunks[rows, ranks].tolist(), strict=True)
        pairs = [(questions[row].text, self._text(chunk)) for row, chunk in numbered]
        pair_scores, pair_ms = self._scored(part, pairs)
        scores = np.full(chunks.shape, -np.inf)
        scores[rows, ranks] = pair_scores
        elapsed_ms = np.zeros(len(chunks))
        np.add.at(elapsed_ms, rows, pair_ms)
        return reorder(candidates, scores), elapsed_ms

    def _scored(self, part: PairReranker, pairs: Sequence[tuple[str, str]]) -> tuple[FloatArray, FloatArray]:
        """Return the score of each pair, and its milliseconds."""
        if not pairs:
            return np.zeros(0), np.zeros(0)
        scorer = self._scorer(part)

        def compute(positions: list[int]) -> list[bytes]:
            started = time.perf_counter()
            with self._stage_timer.timed(rerank_stage(part), len(positions)):
                scores = scorer.scores([pairs[i] for i in positions])
            if scores.shape != (len(positions),) or not np.isfinite(scores).all():
                raise ValueError(f"{part.kind} gave {scores.shape} scores for {len(positions)} pairs, or not numbers")
            entries = np.zeros(len(positions), _PAIR)
            entries["score"], entries["ms"] = scores, (time.perf_counter() - started) * 1000 / len(positions)
            return [entry.tobytes() for entry in entries]

        keys, entries = [item_key(scorer.key, pair) for pair in pairs], list[bytes]()
        for first in range(0, len(keys), _PAIRS_AT_ONCE):  # so that little is lost where a model or a person stops
            some = slice(first, first + _PAIRS_AT_ONCE)
            entries += self._values.fill("pair_scores", keys[some], lambda at, f=first: compute([f + i for i in at]))  # type: ignore[misc]
        stored: Any = np.frombuffer(b"".join(entries), _PAIR)
        return stored["score"].astype(float), stored["ms"].astype(float)


def takes_time(reranker: Reranker) -> bool:
    """Return whether a reranker does any work of its own."""
    return not isinstance(reranker, ListReranker)


def rerank_stage(reranker: Reranker) -> str:
    """Return the name of a reranker's work: by its model, where it has one."""
    model = [reranker.name] if isinstance(reranker, PairReranker) else []
    return " ".join(["rerank", reranker.kind, *model])


def rerank_work(reranker: Reranker, questions: int) -> int:
    """Return what a reranker's time grows with: pairs of question and text, or questions."""
    return questions * reranker.depth if isinstance(reranker, PairReranker) else questions
