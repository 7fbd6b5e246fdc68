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


class DistinctRows:
    """The rows of a matrix that differ, in the order they come first; they lie in a temporary file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._width, self._count = file, 0, 0

    def __len__(self) -> int:
        return self._count

    def append(self, row: NDArray[np.float32]) -> None:
        """Add a row."""
        self._width = len(row)
        self._count += 1
        self._file.write(row.tobytes())

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield all rows in blocks, from the first one on each time."""
        self._file.seek(0)
        while content := self._file.read(_ROWS_AT_ONCE * self._width * 4):
            yield np.frombuffer(content, np.float32).reshape(-1, self._width)

    def at(self, numbers: Iterable[int]) -> NDArray[np.float32]:
        """Return some rows."""
        size, found = self._width * 4, list[bytes]()
        for number in numbers:
            self._file.seek(number * size)
            found.append(self._file.read(size))
        return np.frombuffer(b"".join(found), np.float32).reshape(-1, max(self._width, 1))


@contextlib.contextmanager
def distinct_rows(blocks: Iterable[NDArray[np.float32]], vector_of: Path) -> Iterator[DistinctRows]:
    """Yield the rows that differ. `vector_of`: file that the number of each row's vector is written to."""
    known, numbers = dict[bytes, int](), list[int]()
    with tempfile.TemporaryFile(dir=vector_of.parent) as file:
        distinct = DistinctRows(file)
        for block in blocks:
            for row in np.ascontiguousarray(block, np.float32):
                key = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
                if key not in known:
                    known[key] = len(known)
                    distinct.append(row)
                numbers.append(known[key])
        np.save(vector_of, np.array(numbers, np.int32))
        yield distinct


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
