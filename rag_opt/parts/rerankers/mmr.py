"""Relevance against redundancy."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.interfaces import ChunkVectors

_QUESTIONS_AT_ONCE = 256


@register("reranker", "mmr")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaximalMarginalRelevance:
    """Trade relevance against redundancy (Carbonell & Goldstein, 1998).

    Relevance is the retriever's score scaled to [0, 1] within the list, redundancy the largest cosine to a chunk
    already taken.
    """

    trade_off: Annotated[float, Ge(0), Le(1), Doc("1 keeps the order of the retriever, 0 ignores relevance.")] = 0.7

    uses_llm: ClassVar[bool] = False

    def rerank_by_vectors(self, candidates: RankedLists, *, chunk_vectors: ChunkVectors) -> RankedLists:
        """Return the lists in their new order."""
        known, place = np.unique(candidates.chunks, return_inverse=True)
        vectors = chunk_vectors(known[known >= 0])
        if known.size and known[0] < 0:  # row 0 stands for "no chunk"
            vectors = np.concatenate([np.zeros((1, vectors.shape[1]), np.float32), vectors])
        place = place.reshape(candidates.chunks.shape)
        relevance = candidates.min_max_scores
        blocks = [slice(i, i + _QUESTIONS_AT_ONCE) for i in range(0, len(place), _QUESTIONS_AT_ONCE)]
        parts = [self._order(vectors[place[b]], relevance[b], candidates.chunks[b] >= 0) for b in blocks]
        order, scores = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return RankedLists(np.take_along_axis(candidates.chunks, order, 1), scores.astype(np.float32))

    def _order(
        self, vectors: NDArray[np.float32], relevance: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        count, depth = valid.shape
        # one product per question: the same shapes, so the same rounding, alone or in a batch
        similarity = np.matmul(vectors, vectors.transpose(0, 2, 1))
        row = np.arange(count)
        open_ = valid.copy()
        redundancy = np.zeros((count, depth))
        order, scores = np.empty((count, depth), np.int64), np.empty((count, depth))
        for rank in range(depth):
            value = self.trade_off * relevance - (1 - self.trade_off) * redundancy
            best = np.where(open_, value, -np.inf).argmax(axis=1)
            exhausted = ~open_.any(axis=1)
            best[exhausted] = rank  # the empty places of a short list are its last and stay where they are
            order[:, rank], scores[:, rank] = best, np.where(exhausted, -np.inf, value[row, best])
            open_[row, best] = False
            seen = similarity[row, best]
            redundancy = np.maximum(redundancy, seen) if rank else seen.astype(np.float64)
        return order, scores
