"""Vectors of all sentences of the documents, shipped with a bundle whose answers are chosen from sentences.

An answer is made of the sentences nearest to the question: without their vectors, each first question about a passage
would encode all of its sentences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag_opt.models.encoder import VECTORS, Encoder
from rag_opt.parts.interfaces import ExtractiveGenerator
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.pipeline.text_maps import RaggedRows, TextMaps
from rag_opt.store.values import Compute, MemoryValues, Values, fill_missing

_KEYS, _ROWS = "keys.npy", "rows.npy"
_TEXTS_AT_ONCE = 20_000
_MILLISECONDS = 4  # bytes of a stored vector that say how long it took


def build_text_maps(texts: CorpusText, encoder: Encoder, spec: PipelineSpec) -> TextMaps:
    """Return where tokens and, for answers that are chosen from them, sentences stand in every document."""
    ids = texts.corpus.ids
    tokens = RaggedRows.of(texts.token_map(name).starts for name in ids)
    if not isinstance(spec.generator, ExtractiveGenerator):
        return TextMaps(tokens)
    bounds = [texts.sentence_bounds(name, encoder.tokenizer, encoder.document_tokens) for name in ids]
    return TextMaps(tokens, (RaggedRows.of(b[0] for b in bounds), RaggedRows.of(b[1] for b in bounds)))


def write_sentence_vectors(folder: Path, texts: CorpusText, maps: TextMaps, encoder: Encoder) -> int:
    """Write key and vector of every distinct sentence; return how many there are. Those stored are not encoded."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[bytes, bytes] = {}
    for block in _blocks(texts, maps):
        _, known = encoder.stored(block, "sentence")
        rows |= {key: bytes(_MILLISECONDS) + value[_MILLISECONDS:] for key, value in known.items()}
    keys = sorted(rows)
    np.save(folder / _KEYS, np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16), allow_pickle=False)
    width = len(rows[keys[0]]) if keys else _MILLISECONDS
    array = np.lib.format.open_memmap(folder / _ROWS, "w+", np.uint8, (len(keys), width))  # type: ignore[no-untyped-call, unused-ignore]
    for number, key in enumerate(keys):
        array[number] = np.frombuffer(rows[key], np.uint8)
    array.flush()
    return len(keys)


def _blocks(texts: CorpusText, maps: TextMaps) -> Iterator[list[str]]:
    """Yield the texts of all sentences in blocks, each text once a block."""
    assert maps.sentences is not None
    starts, ends = maps.sentences
    block: dict[str, None] = {}
    for number, document in enumerate(texts.corpus.documents):
        for start, end in zip(starts.row(number).tolist(), ends.row(number).tolist(), strict=True):
            block[document.text[start:end]] = None
        if len(block) >= _TEXTS_AT_ONCE:
            yield list(block)
            block = {}
    if block:
        yield list(block)


class ShippedValues:
    """Values in memory, and behind them the vectors of a bundle's sentences on disk.

    Keys name model, versions and text: where they are others than those of the export, a sentence is encoded anew.
    """

    def __init__(self, folder: Path, memory: MemoryValues) -> None:
        self._memory = memory
        self.computed, self.reused = memory.computed, memory.reused
        keys: NDArray[np.uint8] = np.load(folder / _KEYS, mmap_mode="r")
        self._first, self._second = (
            np.ascontiguousarray(keys[:, part : part + 8]).view(">u8").reshape(-1).astype(np.uint64) for part in (0, 8)
        )
        self._rows: NDArray[np.uint8] = np.load(folder / _ROWS, mmap_mode="r")

    @property
    def held_bytes(self) -> int:
        """Bytes of what is kept in memory."""
        return self._memory.held_bytes

    def count_computed(self, table: str, number: int) -> None:
        """Add to the values of a table that were computed."""
        self._memory.count_computed(table, number)

    def count_reused(self, table: str, number: int) -> None:
        """Add to the values of a table that were there already."""
        self._memory.count_reused(table, number)

    def get(self, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those keys that have one."""
        found = self._memory.get(table, keys)
        if table != VECTORS or len(found) == len(keys):
            return found
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        return found | {key: self._rows[row].tobytes() for key, row in self._find(missing).items()}

    def find_known(self, table: str, keys: Sequence[bytes]) -> set[bytes]:
        """Return those keys that have a value, without reading it."""
        known = self._memory.find_known(table, keys)
        return known | self._find(keys).keys() if table == VECTORS else known

    def put(self, table: str, values: Mapping[bytes, bytes]) -> None:
        """Store values in memory."""
        self._memory.put(table, values)

    def fill(self, table: str, keys: Sequence[bytes], compute: Compute) -> list[bytes]:
        """Return one value per key, computing and keeping those that are missing."""
        return fill_missing(self, table, keys, compute)

    def shipped(self) -> Iterator[dict[bytes, bytes]]:
        """Yield keys and values of all sentences, some at a time."""
        keys = np.stack([self._first, self._second], axis=1).astype(">u8")
        for first in range(0, len(keys), _TEXTS_AT_ONCE):
            rows = range(first, min(first + _TEXTS_AT_ONCE, len(keys)))
            yield {keys[row].tobytes(): self._rows[row].tobytes() for row in rows}

    def _find(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        """Return the rows of those keys that are shipped; of keys with one beginning only the first is found."""
        if not len(self._first) or not keys:
            return {}
        halves = np.frombuffer(b"".join(keys), ">u8").reshape(-1, 2).astype(np.uint64)
        rows = np.minimum(np.searchsorted(self._first, halves[:, 0]), len(self._first) - 1)
        same = (self._first[rows] == halves[:, 0]) & (self._second[rows] == halves[:, 1])
        return {key: int(row) for key, row, right in zip(keys, rows, same, strict=True) if right}


def open_values(folder: Path, memory: MemoryValues) -> Values:
    """Return the values of a bundle: in memory, with the vectors of its sentences where it ships them."""
    return ShippedValues(folder, memory) if (folder / _KEYS).exists() else memory
