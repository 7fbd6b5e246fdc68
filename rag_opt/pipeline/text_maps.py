"""What of a corpus's texts is found once and kept with an exported pipeline: where tokens and sentences stand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.arrays import IntArray

_SENTENCES = ("sentence_starts", "sentence_ends")


@dataclass(frozen=True)
class RaggedRows:
    """Rows of different length in one array: row i is `values[first[i]:first[i + 1]]`."""

    values: NDArray[np.int32]
    first: NDArray[np.int64]

    @staticmethod
    def of(rows: Iterable[IntArray]) -> RaggedRows:
        """Return the rows, one after another."""
        kept = [np.asarray(row, np.int32) for row in rows]
        first = np.concatenate([[0], np.cumsum([len(row) for row in kept], dtype=np.int64)])
        return RaggedRows(np.concatenate(kept) if kept else np.empty(0, np.int32), first)

    def row(self, number: int) -> IntArray:
        """Return one row."""
        # as it lies on disk: a copy of a long document's offsets would be kept with every document that was asked for
        return cast(IntArray, self.values[self.first[number] : self.first[number + 1]])

    def save(self, folder: Path, name: str) -> None:
        """Write `<name>.npy` and `<name>_first.npy`."""
        np.save(folder / f"{name}.npy", self.values, allow_pickle=False)
        np.save(folder / f"{name}_first.npy", self.first, allow_pickle=False)

    @staticmethod
    def load(folder: Path, name: str) -> RaggedRows:
        """Return what was saved, left on disk until a row is read."""
        values, first = (np.load(folder / f"{file}.npy", mmap_mode="r") for file in (name, f"{name}_first"))
        return RaggedRows(values, first)


@dataclass(frozen=True)
class TextMaps:
    """Offsets by document, in the order of the corpus.

    `tokens`: starts of the tokens that contexts are counted in; `sentences`: starts and ends of the sentences that an
    answer is chosen from, None where none are.
    """

    tokens: RaggedRows
    sentences: tuple[RaggedRows, RaggedRows] | None = None

    def save(self, folder: Path) -> None:
        """Write the maps into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.tokens.save(folder, "tokens")
        for name, rows in zip(_SENTENCES, self.sentences or (), strict=False):
            rows.save(folder, name)

    @staticmethod
    def load(folder: Path) -> TextMaps | None:
        """Return the maps of a folder; None where it has none."""
        if not (folder / "tokens.npy").exists():
            return None
        known = (folder / f"{_SENTENCES[0]}.npy").exists()
        starts_ends = (
            (RaggedRows.load(folder, _SENTENCES[0]), RaggedRows.load(folder, _SENTENCES[1])) if known else None
        )
        return TextMaps(RaggedRows.load(folder, "tokens"), starts_ends)
