"""Reranking: candidates in a new order, each list or each pair of question and text scored once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rag_opt.core import strict as config
from rag_opt.core.arrays import FloatArray
from rag_opt.core.digests import digest, item_key
from rag_opt.core.questions import Question
from rag_opt.core.rank_fusion import reordered
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.source_digest import source_digest
from rag_opt.models.llm.client import LLMClient
from rag_opt.pipeline.model_usage import ModelUsage
from rag_opt.pipeline.retrieval import Timed, pack_list, unpack_lists
from rag_opt.pipeline.stage_timer import StageTimer
from rag_opt.store.values import Values

_PAIRS_AT_ONCE = 2048
_PAIR = np.dtype([("score", "<f4"), ("ms", "<f4")])


class PairScorer(Protocol):
    """A model that says how well a text answers a question. `key`: hash of all that determines its scores."""

    key: str

    def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """One number per (question, text); higher is better."""
        ...


class Reranking:
    """The reranker of one pipeline. `text` gives what a chunk returns, `scorer` the model of a part that needs one."""

    def __init__(
        self,
        part: Any,
        *,
        values: Values,
        stage_timer: StageTimer,
        text: Callable[[int], str],
        scorer: Callable[[Any], PairScorer],
        llm_client: LLMClient | None,
        vectors_key: Callable[[], str],
        chunk_vectors: Callable[[], Callable[[NDArray[np.int32]], NDArray[np.float32]]],
    ) -> None:
        self._part, self._values, self._stage_timer = part, values, stage_timer
        self._text, self._scorer, self._llm_client = text, scorer, llm_client
        self._vectors_key, self._chunk_vectors = vectors_key, chunk_vectors

    def __call__(self, questions: Sequence[Question], candidates: RankedLists, usage: ModelUsage) -> Timed:
        """The candidates in their new order, and the milliseconds that each question took when it was first done."""
        requires = self._part.requires
        if "pair_scores" in requires:
            return self._by_pairs(questions, candidates)
        if "ranking" in requires:
            return self._by_model(questions, candidates, usage)
        if "chunk_vectors" in requires:
            return self._by_vectors(candidates)
        return self._part.rerank(candidates), np.zeros(len(candidates.chunks))

    def _by_vectors(self, candidates: RankedLists) -> Timed:
        part = self._part
        namespace = digest([config.dump(part), source_digest(type(part).__module__), self._vectors_key()])
        rows = range(len(candidates.chunks))
        keys = [item_key(namespace, [candidates.chunks[r], candidates.scores[r].astype(float).tolist()]) for r in rows]

        def compute(positions: list[int]) -> list[bytes]:
            some = RankedLists(candidates.chunks[positions], candidates.scores[positions])
            chunk_vectors = self._chunk_vectors()
            started = time.perf_counter()
            with self._stage_timer.timed(rerank_stage(part), len(positions)):
                done = part.rerank(some, chunk_vectors=chunk_vectors)
            elapsed_ms = (time.perf_counter() - started) * 1000 / len(positions)
            return [pack_list(c, s, elapsed_ms) for c, s in zip(done.chunks, done.scores, strict=True)]

        return unpack_lists(self._values.fill("reranked", keys, compute), candidates.chunks.shape[1])

    def _by_model(self, questions: Sequence[Question], candidates: RankedLists, usage: ModelUsage) -> Timed:
        """The first `depth` of each list as a language model ranks them, all seen together."""
        part, chunks = self._part, candidates.chunks[:, : self._part.depth]
        assert self._llm_client is not None
        texts = [[self._text(chunk) for chunk in row[row >= 0].tolist()] for row in chunks]
        several = [row for row, shown in enumerate(texts) if len(shown) > 1]
        with self._stage_timer.timed(rerank_stage(part), rerank_work(part, len(several))):
            requests = [part.request(questions[row].text, texts[row]) for row in several]
            replies = usage.replies(self._llm_client, requests, several)
        elapsed_ms = np.zeros(len(questions))
        table = np.where(chunks >= 0, -np.arange(chunks.shape[1], dtype=float), -np.inf)
        for row, reply in zip(several, replies, strict=True):
            if reply is not None:
                order = part.read(reply.text, len(texts[row]))
                table[row, order] = -np.arange(len(order), dtype=float)
                elapsed_ms[row] = reply.took_ms
        return reordered(candidates, table), elapsed_ms

    def _by_pairs(self, questions: Sequence[Question], candidates: RankedLists) -> Timed:
        """The first `depth` of each list by the scores of its pairs; what stands after them stays there."""
        chunks = candidates.chunks[:, : self._part.depth]
        rows, ranks = np.nonzero(chunks >= 0)
        found = zip(rows.tolist(), chunks[rows, ranks].tolist(), strict=True)
        pairs = [(questions[row].text, self._text(chunk)) for row, chunk in found]
        scores, took_ms = self._scored(pairs)
        table = np.full(chunks.shape, -np.inf)
        table[rows, ranks] = scores
        elapsed_ms = np.zeros(len(chunks))
        np.add.at(elapsed_ms, rows, took_ms)
        return reordered(candidates, table), elapsed_ms

    def _scored(self, pairs: Sequence[tuple[str, str]]) -> tuple[FloatArray, FloatArray]:
        if not pairs:
            return np.zeros(0), np.zeros(0)
        scorer = self._scorer(self._part)

        def compute(positions: list[int]) -> list[bytes]:
            started = time.perf_counter()
            with self._stage_timer.timed(rerank_stage(self._part), len(positions)):
                found = scorer.scores([pairs[i] for i in positions])
            if found.shape != (len(positions),) or not np.isfinite(found).all():
                raise ValueError(
                    f"{self._part.kind} gave {found.shape} scores for {len(positions)} pairs, or not numbers"
                )
            entries = np.zeros(len(positions), _PAIR)
            entries["score"], entries["ms"] = found, (time.perf_counter() - started) * 1000 / len(positions)
            return [entry.tobytes() for entry in entries]

        keys, found = [item_key(scorer.key, pair) for pair in pairs], list[bytes]()
        for first in range(0, len(keys), _PAIRS_AT_ONCE):  # so that little is lost where a model or a person stops
            some = slice(first, first + _PAIRS_AT_ONCE)
            found += self._values.fill("pair_scores", keys[some], lambda at, f=first: compute([f + i for i in at]))  # type: ignore[misc]
        stored: Any = np.frombuffer(b"".join(found), _PAIR)
        return stored["score"].astype(float), stored["ms"].astype(float)


def rerank_stage(reranker: Any) -> str:
    """The name of its work: by the model, where it has one."""
    return " ".join(["rerank", reranker.kind, *([reranker.name] if hasattr(reranker, "name") else [])])


def rerank_work(reranker: Any, questions: int) -> int:
    """What its time grows with: pairs of question and text, or questions."""
    return questions * reranker.depth if "pair_scores" in reranker.requires else questions
