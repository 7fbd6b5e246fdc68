"""Words searched by BM25."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.defaults import IndexDefaults
from rag_opt.parts.index_queries import BM25Parameters
from rag_opt.text.words import split_words

_NO_SETTINGS: Mapping[str, int] = MappingProxyType({})
_WORDLESS = "\0"
_NONE = ("none", "corpus")  # of a corpus whose language nobody knows
_DELTAS = {"bm25+": 1.0, "bm25l": 0.5}  # as they were published


@register("index", "bm25")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class BM25(BM25Parameters, IndexDefaults):
    """Search words by BM25 (bm25s; Lù, 2024).

    Words of any script, in one case and form (`rag_opt.text.words`), without points and accents that are often left
    out; where a script has no spaces, every two neighbouring characters; of code also the parts of identifiers.
    """

    libraries: ClassVar[tuple[str, ...]] = ("bm25s", "pystemmer")

    def build_from_texts(self, folder: Path, blocks: Iterable[Sequence[str]], count: int) -> None:
        """Write the index of `count` texts, in blocks; only the numbers of their words are held all at once."""
        import bm25s

        numbers: dict[str, int] = {}
        split = _splitter(self.stop_words, self.stemmer)
        chunks = [
            array("i", [numbers.setdefault(word, len(numbers)) for word in words])
            for block in blocks
            for words in split(list(block))
        ]
        if not numbers:  # an index without a single word cannot be built; a word nobody asks for stands in for it
            numbers, chunks = {_WORDLESS: 0}, [array("i", [0]) for _ in range(count)]
        index = bm25s.BM25(
            k1=self.k1, b=self.b, method=self.method, delta=_DELTAS.get(self.method, 0.5), backend="numpy"
        )
        index.index((chunks, numbers), show_progress=False)
        index.save(str(folder), corpus=None)
        words = {"stop_words": self.stop_words, "stemmer": self.stemmer}
        (folder / "words.json").write_bytes(orjson.dumps(words))

    def open(self, folder: Path) -> OpenBM25:
        """Return the index that was written into the folder."""
        return OpenBM25(folder)


class OpenBM25:
    """An index of words, read into memory."""

    def __init__(self, folder: Path) -> None:
        import bm25s

        self._index: Any = bm25s.BM25.load(str(folder), load_corpus=False)
        self._size = int(self._index.scores["num_docs"])
        self._split = _splitter(**orjson.loads((folder / "words.json").read_bytes()))

    def search(
        self,
        queries: Sequence[str],
        depth: int,
        *,
        allowed: NDArray[np.int32] | None = None,
        settings: Mapping[str, int] = _NO_SETTINGS,
    ) -> RankedLists:
        """Return the best chunks of each query; a chunk that shares no word with it is not one. No `settings`."""
        scores = (self._above_nothing(words) for words in self._split(list(queries)))
        return RankedLists.of_scores(scores, depth, allowed=allowed)

    def _above_nothing(self, words: list[str]) -> NDArray[np.floating[Any]]:
        """Return [chunks]: scores, 0 for a chunk without any of the words.

        Some variants give one that lacks a word a score
        too, which is the same for all chunks and so tells none from another.
        """
        known = [word for word in words if word in self._index.vocab_dict]
        if not known:
            return np.zeros(self._size, np.float32)
        scores: NDArray[np.floating[Any]] = self._index.get_scores(known)
        if getattr(self._index, "nonoccurrence_array", None) is None:
            return scores
        rows = [self._index.vocab_dict[word] for word in known]
        base = self._index.nonoccurrence_array[rows].sum()
        return np.where(scores > base * (1 + 1e-6) + 1e-9, scores, 0.0)

    def close(self) -> None:
        """Nothing is held open."""


def _splitter(stop_words: str, stemmer: str) -> Callable[[list[str]], list[list[str]]]:
    import bm25s

    cut = None
    if stemmer not in _NONE:
        import Stemmer as Snowball

        cut = Snowball.Stemmer(stemmer)

    def split(texts: list[str]) -> list[list[str]]:
        left_out = [] if stop_words in _NONE else stop_words
        plain = [" ".join(split_words(text)) for text in texts]
        words: list[list[str]] = bm25s.tokenize(
            plain, token_pattern=r"\S+", stopwords=left_out, stemmer=cut, return_ids=False, show_progress=False
        )
        return words

    return split
