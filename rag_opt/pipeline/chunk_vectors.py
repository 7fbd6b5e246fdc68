"""The vectors that a dense index is built of: one per chunk, pooled or projected as the embedder says."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.arrays import FloatArray, IntArray, Vectors
from rag_opt.core.documents import Corpus
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.models.encoder import Encoder
from rag_opt.models.token_vectors import TokenVectors, token_vectors
from rag_opt.parts.interfaces import EmbedderPart, Index, LateChunkingEmbedder, ProjectingEmbedder, VectorIndex
from rag_opt.parts.open_indexes import FilteringVectorIndex, OpenIndex, OpenVectorIndex, StoredVectors
from rag_opt.pipeline.chunk_table import AT_ONCE, ChunkTable
from rag_opt.text.tokens import TokenMap

_WINDOWS_AT_ONCE = 256
_PCA_ROWS = 16_384
PROJECTION = "projection.npz"


def chunk_vectors(embedder: EmbedderPart, encoder: Encoder, table: ChunkTable, corpus: Corpus) -> Iterator[Vectors]:
    """Yield blocks of [chunks, dimensions], unit length, in the order of the table."""
    if isinstance(embedder, LateChunkingEmbedder):
        yield from _pooled_late(embedder, encoder, table, corpus)
        return
    for texts in table.blocks(corpus, AT_ONCE):
        yield encoder.vectors(texts, "document")


# late chunking: windows of documents, read once, pooled by span


def windows_of(embedder: LateChunkingEmbedder, encoder: Encoder, text: str) -> list[tuple[int, int]]:
    """Return the overlapping spans of a document that the transformer reads at once."""
    most = min(embedder.window or encoder.reads_tokens, encoder.reads_tokens)
    size = max(most - int(encoder.tokenizer.lengths([encoder.prompt("document")])[0]), 8)
    step = max(1, round(size * (1 - embedder.overlap)))
    return TokenMap(encoder.tokenizer.starts(text)).windows(0, len(text), size=size, step=step)


def _pooled_late(
    embedder: LateChunkingEmbedder, encoder: Encoder, table: ChunkTable, corpus: Corpus
) -> Iterator[Vectors]:
    firsts = np.searchsorted(table.document, np.arange(len(corpus.documents) + 1))
    waiting: list[tuple[int, list[tuple[int, int]], str]] = []

    def done() -> Iterator[Vectors]:
        texts = [text[start:end] for _, windows, text in waiting for start, end in windows]
        read = iter(token_vectors(encoder, texts, "document"))
        for number, windows, _ in waiting:
            begins, vectors = _of_document(windows, [next(read) for _ in windows])
            rows = slice(int(firsts[number]), int(firsts[number + 1]))
            if rows.start < rows.stop:
                yield encoder.shaped(_means(table.start[rows], table.end[rows], begins, vectors))
        waiting.clear()

    for number, document in enumerate(corpus.documents):
        waiting.append((number, windows_of(embedder, encoder, document.text), document.text))
        if sum(len(windows) for _, windows, _ in waiting) >= _WINDOWS_AT_ONCE:
            yield from done()
    yield from done()


def _of_document(windows: Sequence[tuple[int, int]], read: Sequence[TokenVectors]) -> tuple[IntArray, Vectors]:
    """Return where each token of a document begins, ascending, and its vector.

    Of two windows that hold a token, the one counts in which it stands further from the edge.
    """
    edges = [0, *((end + start) // 2 for (_, end), (start, _) in itertools.pairwise(windows)), windows[-1][1]]
    begins, vectors = [], []
    for number, ((start, _), (offsets, found)) in enumerate(zip(windows, read, strict=True)):
        places = offsets[:, 0] + start
        mine = (places >= edges[number]) & (places < edges[number + 1])
        begins.append(places[mine])
        vectors.append(found[mine])
    return np.concatenate(begins), np.concatenate(vectors)


def _means(start: IntArray, end: IntArray, begins: IntArray, vectors: Vectors) -> Vectors:
    """Return [spans, dimensions]: the mean of the tokens that begin in each span, or else the token before it."""
    pooled = np.zeros((len(start), vectors.shape[1]), np.float32)
    low, high = np.searchsorted(begins, start), np.searchsorted(begins, end)
    for row, (first, last) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        if len(vectors):
            pooled[row] = vectors[min(first, max(last - 1, 0)) : max(last, 1)].mean(axis=0)
    return pooled


# principal components of the chunks' vectors


def projection(
    embedder: ProjectingEmbedder, encoder: Encoder, table: ChunkTable, corpus: Corpus
) -> dict[str, FloatArray]:
    """Return mean and components [dimensions, kept] of some of the chunks' vectors, evenly spaced.

    Principal components by the eigenvectors of the covariance; the sign of each is fixed.
    """
    rows = np.unique(np.linspace(0, max(len(table) - 1, 0), min(len(table), _PCA_ROWS)).astype(int))
    some = encoder.vectors(table.texts_of(corpus, rows.tolist()), "document").astype(float)
    mean = some.mean(axis=0) if len(some) else np.zeros(encoder.card.vector_dimensions)
    centred = some - mean
    values, vectors = np.linalg.eigh(centred.T @ centred)
    components = vectors[:, np.argsort(-values, kind="stable")[: embedder.project_to]]
    largest = np.abs(components).argmax(axis=0)
    components = components * np.sign(components[largest, np.arange(components.shape[1])])
    return {"mean": mean, "components": components}


def project(vectors: Vectors, by: dict[str, FloatArray]) -> Vectors:
    """Return [rows, kept], unit length; each row the same however many there are."""
    moved = np.einsum("nd,dk->nk", vectors - by["mean"], by["components"])
    unit: Vectors = (moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return unit


class _Projected:
    """Vectors of an index that was built of projected ones; queries are projected before they are searched for."""

    def __init__(self, index: StoredVectors, by: dict[str, FloatArray]) -> None:
        self._by = by
        self.close = index.close
        self.vectors = index.vectors

    def projected(self, queries: Vectors) -> Vectors:
        """Return the queries as they are searched for."""
        return project(queries, self._by)


class ProjectedIndex(_Projected):
    """An open index whose vectors were projected. `inner` is searched by vectors that are projected already."""

    def __init__(self, index: OpenVectorIndex, by: dict[str, FloatArray]) -> None:
        super().__init__(index, by)
        self.inner = index

    def search(
        self,
        queries: Vectors,
        depth: int,
        *,
        allowed: NDArray[np.int32] | None = None,
        settings: Mapping[str, int] = MappingProxyType({}),
    ) -> RankedLists:
        """Return the nearest chunks of each query [queries, dimensions]."""
        return self.inner.search(self.projected(queries), depth, allowed=allowed, settings=settings)


class ProjectedFilteringIndex(_Projected):
    """The same of an index that is asked by filters."""

    def __init__(self, index: FilteringVectorIndex, by: dict[str, FloatArray]) -> None:
        super().__init__(index, by)
        self.inner = index

    def search_fitting(
        self, queries: Vectors, depth: int, *, filters: Mapping[str, object], exclude: Sequence[str]
    ) -> RankedLists:
        """Return the nearest chunks of each query, of documents that fit the filters and are not in `exclude`."""
        return self.inner.search_fitting(self.projected(queries), depth, filters=filters, exclude=exclude)


Projected = ProjectedIndex | ProjectedFilteringIndex


def open_index(part: Index, folder: Path) -> OpenIndex:
    """Return an index, with the projection that it was built by."""
    return with_projection(part.open(folder), folder) if isinstance(part, VectorIndex) else part.open(folder)


def with_projection(
    index: OpenVectorIndex | FilteringVectorIndex, folder: Path
) -> OpenVectorIndex | FilteringVectorIndex:
    """Return an index whose queries are projected, where the index of the folder was built of projected vectors."""
    if not (folder / PROJECTION).exists():
        return index
    with np.load(folder / PROJECTION) as arrays:
        by = dict(arrays)
    return ProjectedFilteringIndex(index, by) if isinstance(index, FilteringVectorIndex) else ProjectedIndex(index, by)
