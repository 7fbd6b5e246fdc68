from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.records import Candidates
from rag_opt.registry import register

StopWords = Literal["english", "none"]


@register("index", "bm25")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class BM25:
    """Okapi BM25 by bm25s (Lù, 2024): `k1` saturates term frequency, `b` in [0, 1] normalises length.

    Words are lower-cased runs of two or more word characters; `stop_words` says which are left out.
    """

    k1: Annotated[float, Ge(0), Le(5)] = 1.2
    b: Annotated[float, Ge(0), Le(1)] = 0.75
    stop_words: StopWords = "english"

    libraries: ClassVar[tuple[str, ...]] = ("bm25s",)
    reads: ClassVar[str] = "texts"

    def build(self, folder: Path, blocks: Iterable[Sequence[str]], count: int) -> None:
        """`blocks` of texts, `count` texts together; only their words' numbers are held all at once."""
        import bm25s

        numbers: dict[str, int] = {}
        chunks = [
            array("i", [numbers.setdefault(word, len(numbers)) for word in words])
            for block in blocks
            for words in _words(list(block), self.stop_words)
        ]
        if not numbers:  # an index without a single word cannot be built; a word nobody asks for stands in for it
            numbers, chunks = {"\0": 0}, [array("i", [0]) for _ in range(count)]
        index = bm25s.BM25(k1=self.k1, b=self.b, backend="numpy")
        index.index((chunks, numbers), show_progress=False)
        index.save(str(folder), corpus=None)
        (folder / "stop_words.txt").write_text(self.stop_words)

    def open(self, folder: Path) -> OpenBM25:
        return OpenBM25(folder)


class OpenBM25:
    def __init__(self, folder: Path) -> None:
        import bm25s

        self._index: Any = bm25s.BM25.load(str(folder), load_corpus=False)
        self._size = int(self._index.scores["num_docs"])
        self._stop_words = (folder / "stop_words.txt").read_text()

    def search(self, queries: Sequence[str], depth: int, *, allowed: NDArray[np.int32] | None = None) -> Candidates:
        """Best chunks of each query; a chunk that shares no word with it is not returned."""
        rows: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = []
        mask = None
        if allowed is not None:
            mask = np.zeros(self._size, np.float32)
            mask[allowed] = 1
        for words in _words(list(queries), self._stop_words):
            scores = self._index.get_scores(words, weight_mask=mask) if words else np.zeros(self._size)
            kept = np.argpartition(-scores, depth - 1)[:depth] if depth < self._size else np.arange(self._size)
            kept = kept[scores[kept] > 0]
            order = np.lexsort((kept, -scores[kept]))
            rows.append((kept[order].astype(np.int32), scores[kept][order].astype(np.float32)))
        return Candidates.stack(rows, depth)

    def close(self) -> None:
        pass


def _words(texts: list[str], stop_words: str) -> list[list[str]]:
    import bm25s

    left_out = "english" if stop_words == "english" else []
    words: list[list[str]] = bm25s.tokenize(texts, stopwords=left_out, return_ids=False, show_progress=False)
    return words
