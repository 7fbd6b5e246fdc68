"""Tokens by offset: what a tokenizer is asked, and the one that reads a `tokenizer.json`."""

from __future__ import annotations

import functools
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag_opt.core.arrays import IntArray
from rag_opt.core.digests import file_digest

if TYPE_CHECKING:
    from tokenizers import Tokenizer as RustTokenizer


_BYTES_OF_UNKNOWN = 4
_MOST_SPACES = 100  # between two tokens; more of them count


class Tokenizer(ABC):
    """What turns text into tokens: of an embedding model, or of a language model."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Hash of everything that determines its tokens."""

    @property
    @abstractmethod
    def special_tokens(self) -> int:
        """Number of tokens that a model adds to every input."""

    @abstractmethod
    def starts(self, text: str) -> IntArray:
        """Return the ascending start offsets of the tokens of `text`, special tokens left out.

        Several tokens may begin in one character, where it is made of several.
        """

    @abstractmethod
    def lengths(self, texts: list[str]) -> IntArray:
        """Return how many tokens each text has as a model reads it, special tokens included."""

    def offsets(self, text: str) -> IntArray:
        """Return [tokens, 2]: start and end of every token as a model reads the text; special tokens are empty."""
        starts = self.starts(text)
        return np.stack([starts, np.append(starts[1:], len(text))], axis=1) if len(starts) else starts.reshape(0, 2)

    def truncate(self, text: str, max_tokens: int) -> str:
        """Return as much of the text as gives at most `max_tokens` tokens, special tokens included."""
        starts = self.starts(text)
        keep = max(max_tokens - self.special_tokens, 0)
        while keep > 0 and len(starts) > keep:
            short = text[: int(starts[keep])].rstrip()
            if int(self.lengths([short])[0]) <= max_tokens:
                return short
            keep -= 1  # a cut inside a word may give more tokens than the word had
        return text if len(starts) <= keep else ""


@dataclass(frozen=True)
class FileTokenizer(Tokenizer):
    """A `tokenizer.json`, used through the tokenizers library alone: no model is loaded."""

    file: Path

    @functools.cached_property
    def identity(self) -> str:
        """Hash of the file."""
        return file_digest(self.file)

    @functools.cached_property
    def _rust(self) -> RustTokenizer:
        from tokenizers import Tokenizer as RustTokenizer

        rust = RustTokenizer.from_file(str(self.file))
        rust.no_truncation()
        rust.no_padding()
        return rust

    def starts(self, text: str) -> IntArray:
        """Return the ascending start offsets of the tokens of `text`, special tokens left out.

        What the tokenizer does not know (WordPiece gives up a word of 100 characters, and any of a foreign script) or
        leaves out counts a token for every four bytes, so that no size is without a bound.
        """
        encoded = self._rust.encode(text, add_special_tokens=False)
        places = np.array(encoded.offsets, np.int64).reshape(-1, 2)
        ids, real = np.array(encoded.ids, np.int64), places[:, 1] > places[:, 0]
        places, ids = places[real], ids[real]
        wide = places[(ids == self._unknown) & (places[:, 1] - places[:, 0] > 1)] if self._unknown is not None else []
        found = [places[:, 0], *(_every_four_bytes(text, *place) for place in [*wide, *_gaps(text, places)])]
        return np.unique(np.concatenate(found))

    @functools.cached_property
    def _unknown(self) -> int | None:
        """Id of the token that stands for what is not known; None where there is none."""
        model = self._rust.model
        name = getattr(model, "unk_token", None) or "<unk>"
        return self._rust.token_to_id(name)

    def lengths(self, texts: list[str]) -> IntArray:
        """Return how many tokens each text has as a model reads it, special tokens included."""
        encoded = self._rust.encode_batch_fast(texts)
        return np.array([len(encoding.ids) for encoding in encoded], np.int64)

    def offsets(self, text: str) -> IntArray:
        """Return [tokens, 2]: start and end of every token as a model reads the text; special tokens are empty."""
        return np.array(self._rust.encode(text).offsets, np.int64).reshape(-1, 2)

    @functools.cached_property
    def special_tokens(self) -> int:
        """Number of tokens that the model adds to every input."""
        return int(self._rust.num_special_tokens_to_add(is_pair=False))


def _gaps(text: str, places: IntArray) -> Iterator[tuple[int, int]]:
    """Yield what stands between tokens and is more than some white space."""
    ends = np.maximum.accumulate(np.concatenate([[0], places[:, 1]]))
    starts = np.concatenate([places[:, 0], [len(text)]])
    for gap in np.flatnonzero(starts - ends > 1):
        start, end = int(ends[gap]), int(starts[gap])
        if end - start > _MOST_SPACES or text[start:end].strip():
            yield start, end


def _every_four_bytes(text: str, start: int, end: int) -> IntArray:
    """Return the offsets in [start, end) that cut it into pieces of at most four bytes of UTF-8 each."""
    found, size = list[int](), _BYTES_OF_UNKNOWN
    for place, character in enumerate(text[start:end], start):
        needs = 1 if character < "\x80" else 2 if character < "\u0800" else 3 if character < "\U00010000" else 4
        if size + needs > _BYTES_OF_UNKNOWN:
            found.append(place)
            size = 0
        size += needs
    return np.array(found, np.int64)


def find_package_folder(path: str) -> Path:
    """Return a folder inside an installed package, found without importing it.

    `path`: `package/inner/folder`. Raises FileNotFoundError where the package is not installed.
    """
    package, _, inner = path.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {package!r} is not installed")
    return Path(spec.origin).parent / inner


@dataclass(frozen=True)
class TokenMap:
    """Start offsets of the tokens of one text. The size of a span is the number of tokens that begin in it."""

    starts: IntArray

    def count(self, start: int, end: int) -> int:
        """Return the size of [start, end) in tokens."""
        low, high = self.starts.searchsorted(np.array((start, end), self.starts.dtype))
        return int(high - low)

    def windows(self, start: int, end: int, *, size: int, step: int) -> list[tuple[int, int]]:
        """Return spans of at most `size` tokens covering [start, end), one every `step` tokens; gaps go to the left."""
        low, high = (int(i) for i in np.searchsorted(self.starts, (start, end)))
        spans = []
        for first in range(low, max(high, low + 1), step):
            left = start if first == low else int(self.starts[first])
            last = first + size
            right = end if last >= high else int(self.starts[last])
            if right > left:  # of several tokens in one character only the first begins a window
                spans.append((left, right))
            if last >= high:
                break
        return spans
