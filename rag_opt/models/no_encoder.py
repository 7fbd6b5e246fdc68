"""The place of an embedding model in a pipeline that has none: it counts tokens, and gives vectors of no dimension."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.digests import digest
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.encoder import Encoder
from rag_opt.models.encoder_backend import EncoderBackend
from rag_opt.models.purposes import Purpose, Vectors
from rag_opt.store.values import MemoryValues, Values
from rag_opt.text.tokenizer_names import find_tokenizer
from rag_opt.text.tokens import Tokenizer

_READS_ANYTHING = 1_000_000_000
_CARD = EmbedderCard(id="none", reads_tokens=_READS_ANYTHING, dimensions=1)


class NoEncoder(Encoder):
    """Counts tokens by a tokenizer's name; nothing is loaded, and a vector of a text is empty."""

    def __init__(self, tokenizer: str) -> None:
        super().__init__(_CARD, values=MemoryValues())
        self._tokenizer = tokenizer

    def with_values(self, values: Values) -> Encoder:
        """Return itself: it keeps nothing."""
        return self

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """Tokenizer that chunks are counted with."""
        return find_tokenizer(self._tokenizer, where="embedder.none.tokenizer")

    @property
    def backend(self) -> EncoderBackend:
        """Nothing runs here. Raises AssertionError: whoever asks has not looked whether there is a model."""
        raise AssertionError("a pipeline without an embedding model asked for one")

    @functools.cached_property
    def reads_tokens(self) -> int:
        """Tokens that are read of an input: all."""
        return _READS_ANYTHING

    @functools.cached_property
    def query_tokens(self) -> int:
        """Tokens of a query that are read: all."""
        return _READS_ANYTHING

    @functools.cached_property
    def document_tokens(self) -> int:
        """Tokens of a document that are read: all."""
        return _READS_ANYTHING

    @functools.cached_property
    def files_digest(self) -> str:
        """Hash of what determines its tokens."""
        return digest(["none", self.tokenizer.identity])

    @functools.cached_property
    def vectors_key(self) -> str:
        """Hash that stands where vectors would be named."""
        return self.files_digest

    def timed_vectors(self, texts: Sequence[str], purpose: Purpose) -> tuple[Vectors, FloatArray]:
        """Return [texts, 0] and no time."""
        return np.zeros((len(texts), 0), np.float32), np.zeros(len(texts))

    @property
    def folder(self) -> Path:
        """Nothing lies anywhere. Raises AssertionError, as `backend`."""
        raise AssertionError("a pipeline without an embedding model asked for its files")
