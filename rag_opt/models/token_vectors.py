"""Vectors of single tokens, each text once: late chunking pools them, late interaction compares them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rag_opt.core.arrays import IntArray
from rag_opt.core.digests import item_key
from rag_opt.models.encoder import Encoder
from rag_opt.models.purposes import Purpose, Vectors

_TABLE = "token_vectors"
_TEXTS_AT_ONCE = 256


class TokenVectors(NamedTuple):
    """Tokens of one text: start and end in it [tokens, 2], and vectors [tokens, dimensions].

    Tokens of the prompt and special tokens are left out.
    """

    offsets: IntArray
    vectors: Vectors


def token_vectors(encoder: Encoder, texts: Sequence[str], purpose: Purpose) -> list[TokenVectors]:
    """Return the token vectors of each text, as much of it as the model reads.

    They are stored as float16 under the text and everything that determined them.
    """
    prompt, width = encoder.prompt(purpose), encoder.card.dimensions
    keys = [item_key(f"tokens {encoder.identity(purpose)}", [purpose, prompt + text]) for text in texts]

    def compute(positions: list[int]) -> list[bytes]:
        encoder.prepare(purpose)
        order = sorted(positions, key=lambda i: -len(texts[i]))
        computed: dict[int, bytes] = {}
        for first in range(0, len(order), _TEXTS_AT_ONCE):
            batch = order[first : first + _TEXTS_AT_ONCE]
            inputs = [prompt + texts[i] for i in batch]
            started = time.perf_counter()
            vectors = _in_batches(encoder, inputs, purpose)
            encoder.count_encoded(len(batch))
            encoder.spend(encoder.stage(purpose), float(sum(map(len, vectors))), time.perf_counter() - started)
            for i, text, rows in zip(batch, inputs, vectors, strict=True):
                offsets = _offsets_read(encoder.tokenizer.offsets(text), len(rows)) - len(prompt)
                computed[i] = _to_bytes(offsets, rows)
        return [computed[i] for i in positions]

    return [_from_bytes(stored, width) for stored in encoder.values.fill(_TABLE, keys, compute)]


def _in_batches(encoder: Encoder, inputs: list[str], purpose: Purpose) -> list[Vectors]:
    most_tokens, most_texts = encoder.backend.batch
    vectors: list[Vectors] = []
    while len(vectors) < len(inputs):
        longest = max(len(encoder.tokenizer.offsets(inputs[len(vectors)])), 1)
        size = max(1, min(most_texts, most_tokens // longest))
        vectors += encoder.backend.token_vectors(inputs[len(vectors) : len(vectors) + size], purpose)
    return vectors


def _offsets_read(offsets: IntArray, count: int) -> IntArray:
    """Return the offsets of the `count` tokens that were read; of a longer text the last one only closes the input."""
    if len(offsets) <= count:
        return offsets
    read = offsets[:count].copy()
    read[-1] = 0
    return read


def _to_bytes(offsets: IntArray, vectors: Vectors) -> bytes:
    real = (offsets[:, 1] > offsets[:, 0]) & (offsets[:, 0] >= 0)
    kept, count = vectors[: len(offsets)][real], int(real.sum())
    return np.int32(count).tobytes() + offsets[real].astype("<i4").tobytes() + kept.astype("<f2").tobytes()


def _from_bytes(stored: bytes, width: int) -> TokenVectors:
    count = int(np.frombuffer(stored[:4], "<i4")[0])
    middle = 4 + 8 * count
    offsets = np.frombuffer(stored[4:middle], "<i4").reshape(count, 2).astype(np.int64)
    return TokenVectors(offsets, np.frombuffer(stored[middle:], "<f2").reshape(count, width).astype(np.float32))
