"""Byte-pair tokens of language models, through tiktoken: they count every script by what a model pays for it."""

from __future__ import annotations

import base64
import functools
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag_opt.core.arrays import IntArray
from rag_opt.core.digests import digest, file_digest
from rag_opt.text.tokens import Tokenizer

if TYPE_CHECKING:
    from tiktoken import Encoding

_SURROGATES = 0xD800, 0xE000  # halves of characters, which have no bytes of their own
_REPLACEMENT = 0xFFFD


class BytePairTokenizer(Tokenizer):
    """Tokens by an encoding of tiktoken."""

    special_tokens = 0

    @property
    @abstractmethod
    def encoding(self) -> Encoding:
        """Return the encoding, read once."""

    @functools.cached_property
    def _sizes(self) -> IntArray:
        """Bytes of each token, by its rank."""
        ranks = self.encoding._mergeable_ranks
        sizes = np.zeros(max(ranks.values()) + 1, np.int64)
        sizes[np.fromiter(ranks.values(), np.int64, len(ranks))] = np.fromiter(map(len, ranks), np.int64, len(ranks))
        return sizes

    def starts(self, text: str) -> IntArray:
        """Return the ascending start offsets of the tokens of `text`; several may begin in one character."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        halves = (codes >= _SURROGATES[0]) & (codes < _SURROGATES[1])
        if halves.any():
            codes = np.where(halves, np.uint32(_REPLACEMENT), codes)
            text = codes.tobytes().decode("utf-32-le")
        ends = self._sizes[self.encoding.encode_to_numpy(text, disallowed_special=())].cumsum()
        in_bytes = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
        if text.isascii():
            return in_bytes
        widths = 1 + (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)
        return widths.cumsum().searchsorted(in_bytes, side="right").astype(np.int64)

    def lengths(self, texts: list[str]) -> IntArray:
        """Return how many tokens each text has."""
        return np.array([len(self.starts(text)) for text in texts], np.int64)


@dataclass(frozen=True)
class BytePairFile(BytePairTokenizer):
    """Byte pairs of a file: on each line a token in base64 and its rank. `pattern` cuts a text into words first."""

    file: Path
    pattern: str

    @functools.cached_property
    def identity(self) -> str:
        """Hash of the file and the pattern."""
        return digest([file_digest(self.file), self.pattern])

    @functools.cached_property
    def encoding(self) -> Encoding:
        """Return the encoding, read once."""
        import tiktoken

        pairs = [line.split() for line in self.file.read_bytes().splitlines() if line]
        ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
        return tiktoken.Encoding(self.file.name, pat_str=self.pattern, mergeable_ranks=ranks, special_tokens={})


@dataclass(frozen=True)
class NamedBytePairs(BytePairTokenizer):
    """Byte pairs that tiktoken knows by a name, as `o200k_base`; it downloads them once."""

    name: str

    @functools.cached_property
    def identity(self) -> str:
        """Hash of the name: tiktoken checks what it downloads against a hash of its own."""
        return digest(["tiktoken", self.name])

    @functools.cached_property
    def encoding(self) -> Encoding:
        """Return the encoding, downloaded where it is not cached. Raises what the connection raises."""
        import tiktoken

        return tiktoken.get_encoding(self.name)
