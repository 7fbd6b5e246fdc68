"""Equal vectors are kept once, and every chunk is found by them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.core.copies import Copies, distinct_rows
from rag_opt.parts.indexes.chroma import Chroma


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 7))
@settings(deadline=None)
def test_each_row_has_its_vector_and_each_vector_its_rows(kinds: list[int], block: int) -> None:
    rows = np.array([[kind, kind * 2.0] for kind in kinds], np.float32)
    blocks = [rows[start : start + block] for start in range(0, len(rows), block)]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "vector_of_chunk.npy"
        with distinct_rows(blocks, file) as distinct:
            kept, count = np.concatenate(list(distinct.blocks())), len(distinct)
            np.testing.assert_array_equal(distinct.at([count - 1, 0]), kept[[-1, 0]])
            np.testing.assert_array_equal(np.concatenate(list(distinct.blocks())), kept)
        copies = Copies(file)
    assert len(kept) == count == len(set(kinds)) and len(copies) == len(rows)
    everything = np.arange(len(rows), dtype=np.int32)
    np.testing.assert_array_equal(kept[copies.vector_of(everything)], rows)
    all_vectors = np.arange(count, dtype=np.int32)
    chunks, scores = copies.chunks_of(all_vectors, all_vectors.astype(np.float32), None)
    assert sorted(chunks.tolist()) == everything.tolist()
    np.testing.assert_array_equal(scores, copies.vector_of(chunks))
    some = everything[::2]
    vectors = copies.distinct(some)
    allowed, _ = copies.chunks_of(vectors, np.zeros(len(vectors), np.float32), some)
    assert sorted(allowed.tolist()) == some.tolist()


def test_copies_hide_nothing_from_the_graph(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    vectors = dice.normal(size=(300, 16))
    vectors[40:] = vectors[0]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    index = Chroma(exact_up_to=0)
    index.build_from_vectors(tmp_path, [vectors], len(vectors))
    opened = index.open(tmp_path)
    found = opened.search(vectors[:40], 50)
    assert found.chunks[1:, 0].tolist() == list(range(1, 40)) and (found.chunks >= 0).all()
    first = found.chunks[0]
    assert first.tolist() == [0, *range(40, 89)], "copies in the order of their chunks"
    kept = opened.vectors(np.array([0, 299, 7], np.int32))
    np.testing.assert_allclose(kept, vectors[[0, 299, 7]], atol=1e-6)
    allowed = np.array([5, 120, 130], np.int32)
    assert set(opened.search(vectors[:1], 10, allowed=allowed).chunks[0][:3].tolist()) == {5, 120, 130}
