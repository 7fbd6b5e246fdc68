"""Chroma against exact search where many chunks say the same: copies must not hide what stands beside them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.parts.indexes.chroma import Chroma

_VECTORS, _QUERIES, _DIMENSIONS, _DEPTH = 20_000, 200, 64, 10


def measure() -> list[tuple[str, str, str]]:
    """Recall of Chroma's first 10, equal distances counted as found."""
    rows = []
    for share in (0.0, 0.5, 0.9):
        dice = np.random.default_rng(0)
        vectors = _unit(dice.normal(size=(_VECTORS, _DIMENSIONS)))
        vectors[dice.random(_VECTORS) < share] = vectors[0]
        near = vectors[dice.integers(_VECTORS, size=_QUERIES)]
        queries = _unit(near + 0.3 * dice.normal(size=(_QUERIES, _DIMENSIONS)))
        what = f"{share:.0%} of {_VECTORS:,} random vectors are copies: recall of the first {_DEPTH}"
        rows.append((f"Chroma, {what}", f"{_recall(Chroma(), vectors, queries):.4f}", "at least 0.99"))
        for least, name in ((0.0, "its graph as Chroma has it"), (0.99, "its graph, built again until it finds 0.99")):
            graph = Chroma(exact_up_to=0, least_recall=least)
            try:
                rows.append((f"{name}, {what}", f"{_recall(graph, vectors, queries):.4f}", ""))
            except ImpossiblePipeline as refused:
                rows.append((f"{name}, {what}", f"refused: {refused}", ""))
    return rows


def _recall(index: Chroma, vectors: np.ndarray, queries: np.ndarray) -> float:
    with tempfile.TemporaryDirectory() as folder:
        index.build_from_vectors(Path(folder), [vectors], len(vectors))
        opened = index.open(Path(folder))
        found = opened.search(queries, _DEPTH).chunks
    cosines = queries @ vectors.T
    worst = np.sort(cosines, axis=1)[:, -_DEPTH]
    theirs = np.take_along_axis(cosines, np.maximum(found, 0), 1)
    return float(((theirs >= worst[:, None] - 1e-6) & (found >= 0)).mean())


def _unit(vectors: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled
