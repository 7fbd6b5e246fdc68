"""Equal vectors of an index: each is kept once, and stands for all chunks that have it."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

_ROWS_AT_ONCE = 20_000


@contextlib.contextmanager
def distinct_rows(
    blocks: Iterable[NDArray[np.float32]], vector_of: Path
) -> Iterator[tuple[Iterator[NDArray[np.float32]], int]]:
    """Yield blocks of the rows that differ, in the order they come first, and how many these are.

    `vector_of`: file that the number of each row's vector is written to. The rows wait in a temporary file.
    """
    known, numbers, width = dict[bytes, int](), list[int](), 0
    with tempfile.TemporaryFile(dir=vector_of.parent) as file:
        for block in blocks:
            rows = np.ascontiguousarray(block, np.float32)
            width = rows.shape[1]
            for row in rows:
                content = row.tobytes()
                key = hashlib.blake2b(content, digest_size=16).digest()
                if key not in known:
                    known[key] = len(known)
                    file.write(content)
                numbers.append(known[key])
        np.save(vector_of, np.array(numbers, np.int32))
        file.seek(0)
        yield _read(file, width), len(known)


def _read(file: IO[bytes], width: int) -> Iterator[NDArray[np.float32]]:
    while content := file.read(_ROWS_AT_ONCE * width * 4):
        yield np.frombuffer(content, np.float32).reshape(-1, width)


class Copies:
    """Which vector each chunk has, and which chunks each vector."""

    def __init__(self, vector_of: Path) -> None:
        self._vector_of: NDArray[np.int32] = np.load(vector_of)
        self._order = np.argsort(self._vector_of, kind="stable").astype(np.int32)
        self._starts = np.searchsorted(self._vector_of[self._order], np.arange(self._vector_of.max(initial=-1) + 2))

    def __len__(self) -> int:
        return len(self._vector_of)

    def vector_of(self, chunks: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the vector of each chunk."""
        return self._vector_of[chunks]

    def distinct(self, chunks: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the vectors that some chunks have, each once."""
        return np.unique(self._vector_of[chunks])

    def chunks_of(
        self, vectors: NDArray[np.int32], scores: NDArray[np.float32], allowed: NDArray[np.int32] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return all chunks of some vectors, each with its vector's score; only those that are `allowed`."""
        groups = [self._order[self._starts[vector] : self._starts[vector + 1]] for vector in vectors]
        chunks = np.concatenate(groups) if groups else np.empty(0, np.int32)
        each = np.repeat(scores, [len(group) for group in groups])
        if allowed is None:
            return chunks, each
        kept = np.isin(chunks, allowed)
        return chunks[kept], each[kept]
