from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.core.nearest import find_nearest


def unit(vectors: np.ndarray) -> np.ndarray:
    made: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return made


@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(1, 90), st.booleans())
@settings(deadline=None, max_examples=40)
def test_a_query_finds_the_same_alone_and_in_any_company(seed: int, rows: int, depth: int, filtered: bool) -> None:
    generator = np.random.default_rng(seed)
    stored = unit(generator.normal(size=(rows, 12)))
    stored[generator.integers(0, rows, rows // 3)] = stored[0]  # twins: equal scores
    asked = unit(generator.normal(size=(7, 12)))
    allowed = np.flatnonzero(generator.random(rows) < 0.5).astype(np.int32) if filtered else None
    together = find_nearest(stored, asked, depth, allowed=allowed)
    for row, query in enumerate(asked):
        alone = find_nearest(stored, query[None], depth, allowed=allowed)
        assert (alone.chunks[0] == together.chunks[row]).all() and (alone.scores[0] == together.scores[row]).all()
        able = np.arange(rows) if allowed is None else allowed
        exact = (stored[able].astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
        best = able[np.lexsort((able, -exact))][:depth].tolist()
        assert [chunk for chunk in together.chunks[row].tolist() if chunk >= 0] == best


def test_nothing_stored_finds_nothing() -> None:
    nothing = find_nearest(np.zeros((0, 4), np.float32), np.ones((2, 4), np.float32), 3)
    assert (nothing.chunks == -1).all() and nothing.chunks.shape == (2, 3)
    assert find_nearest(np.ones((3, 4), np.float32), np.ones((0, 4), np.float32), 3).chunks.shape == (0, 3)
