"""Exact nearest neighbours, in float32 or int8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_doc import Doc
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.nearest import VectorsInMemory, score
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.defaults import IndexDefaults

_ROWS_AT_ONCE = 65_536
_DEFAULT_SEARCH: Mapping[str, int] = MappingProxyType({})


@register("index", "exact")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Exact(IndexDefaults):
    """Compare every vector with every query (NumPy)."""

    precision: Annotated[
        Literal["float32", "int8"],
        Doc("In memory; int8 keeps each dimension in 255 steps, and the float32 vectors on disk."),
    ] = "float32"

    libraries: ClassVar[tuple[str, ...]] = ("numpy",)

    def build_from_vectors(self, folder: Path, blocks: Iterable[NDArray[np.float32]], count: int) -> None:
        """Write the index. `blocks` of vectors, [rows, dimensions] each, `count` rows together."""
        stored: NDArray[np.float32] | None = None
        done = 0
        for block in blocks:
            if stored is None:
                shape = (count, block.shape[1])
                stored = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, shape)  # type: ignore[no-untyped-call, unused-ignore]
            stored[done : done + len(block)] = block
            done += len(block)
        if stored is None:
            stored = np.zeros((0, 1), np.float32)
            np.save(folder / "vectors.npy", stored)
        if self.precision == "int8":
            np.savez(folder / "codes.npz", **_quantised(stored))

    def compares_all(self, count: int) -> bool:
        """Return whether a search compares each vector itself, not its code."""
        return self.precision == "float32"

    def recall(self, folder: Path) -> float | None:
        """Return None: all are compared."""
        return None

    def open(self, folder: Path) -> VectorsInMemory | OpenQuantised:
        """Return the index that was written into the folder."""
        return OpenQuantised(folder) if self.precision == "int8" else VectorsInMemory(np.load(folder / "vectors.npy"))


def _quantised(vectors: NDArray[np.float32]) -> dict[str, Any]:
    """value = middle + step * code, per dimension; codes in [-127, 127]."""
    low = vectors.min(axis=0, initial=0.0)
    high = vectors.max(axis=0, initial=0.0)
    middle, step = (low + high) / 2, np.maximum((high - low) / 254, 1e-12).astype(np.float32)
    codes = np.empty(vectors.shape, np.int8)
    for first in range(0, len(vectors), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        codes[rows] = np.rint((vectors[rows] - middle) / step).clip(-127, 127)
    return {"codes": codes, "middle": middle, "step": step}


class OpenQuantised:
    """Vectors on disk beside their int8 codes in memory."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "codes.npz") as arrays:
            self._codes: dict[str, Any] = dict(arrays)
        self._vectors = np.load(folder / "vectors.npy", mmap_mode="r")

    def search(
        self,
        queries: NDArray[np.float32],
        depth: int,
        *,
        allowed: NDArray[np.int32] | None = None,
        settings: Mapping[str, int] = _DEFAULT_SEARCH,
    ) -> RankedLists:
        """Return the nearest chunks of each row of `queries`; score = cosine similarity. `allowed`: only these chunks.

        `settings`: `oversample`, how many times `depth` are scored again.
        """
        oversample = settings.get("oversample", 4)
        able = np.arange(len(self._vectors), dtype=np.int32) if allowed is None else allowed
        rows = []
        for query in queries:
            chunks = _best(able, self._by_codes(query, able), depth * oversample)[0]
            rows.append(_best(chunks, score(self._vectors[chunks], query), depth))
        return RankedLists.stack(rows, depth)

    def _by_codes(self, query: NDArray[np.float32], chunks: NDArray[np.int32]) -> NDArray[np.float32]:
        """Scores of the chunks up to what is the same for all: the product with `middle`."""
        scaled = self._codes["step"] * query
        parts = [chunks[i : i + _ROWS_AT_ONCE] for i in range(0, len(chunks), _ROWS_AT_ONCE)]
        scores = [self._codes["codes"][part].astype(np.float32) @ scaled for part in parts]
        return np.concatenate(scores) if scores else np.zeros(0, np.float32)

    def vectors(self, chunks: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the vectors of some chunks, one row each, in the order asked."""
        found: NDArray[np.float32] = np.asarray(self._vectors[chunks])
        return found

    def close(self) -> None:
        """Nothing is held open."""


def _best(
    chunks: NDArray[np.int32], scores: NDArray[np.float32], depth: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The best `depth`, of equal scores the earlier chunk first."""
    if depth < len(chunks):
        # all that reach the last score that counts, so that of equal ones the earliest are taken
        least = np.partition(scores, len(scores) - depth)[len(scores) - depth]
        kept = np.flatnonzero(scores >= least)
        chunks, scores = chunks[kept], scores[kept]
    order = np.lexsort((chunks, -scores))[:depth]
    return chunks[order], scores[order].astype(np.float32)
