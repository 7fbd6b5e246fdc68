"""Vectors of single tokens, each text once: what late chunking pools and late interaction compares."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rag_opt.core.arrays import IntArray
from rag_opt.core.digests import item_key
from rag_opt.models.encoder import Encoder
from rag_opt.models.purposes import Purpose, Vectors

_SHELF = "token_vectors"
_TEXTS_AT_ONCE = 256


class TokenVectors(NamedTuple):
    """Of one text: start and end of each token [tokens, 2] in it, and its vector [tokens, dimensions].

    Tokens of the prompt and special tokens are left out.
    """

    offsets: IntArray
    vectors: Vectors


def token_vectors(encoder: Encoder, texts: Sequence[str], purpose: Purpose) -> list[TokenVectors]:
    """Of each text as much as the model reads, stored as float16 under the text and all that determined them."""
    prompt, width = encoder.prompt(purpose), encoder.card.dimensions
    keys = [item_key(f"tokens {encoder.identity(purpose)}", [purpose, prompt + text]) for text in texts]

    def compute(positions: list[int]) -> list[bytes]:
        encoder.prepare(purpose)
        order = sorted(positions, key=lambda i: -len(texts[i]))
        made: dict[int, bytes] = {}
        for first in range(0, len(order), _TEXTS_AT_ONCE):
            some = order[first : first + _TEXTS_AT_ONCE]
            inputs = [prompt + texts[i] for i in some]
            started = time.perf_counter()
            found = _in_batches(encoder, inputs, purpose)
            encoder.encoded += len(some)
            encoder.spend(encoder.stage(purpose), float(sum(map(len, found))), time.perf_counter() - started)
            for i, text, vectors in zip(some, inputs, found, strict=True):
                made[i] = _packed(_places(encoder.tokenizer.offsets(text), len(vectors)) - len(prompt), vectors)
        return [made[i] for i in positions]

    return [_unpacked(one, width) for one in encoder.values.fill(_SHELF, keys, compute)]


def _in_batches(encoder: Encoder, inputs: list[str], purpose: Purpose) -> list[Vectors]:
    most_tokens, most_texts = encoder.backend.batch
    found: list[Vectors] = []
    while len(found) < len(inputs):
        longest = max(len(encoder.tokenizer.offsets(inputs[len(found)])), 1)
        size = max(1, min(most_texts, most_tokens // longest))
        found += encoder.backend.tokens(inputs[len(found) : len(found) + size], purpose)
    return found


def _places(offsets: IntArray, count: int) -> IntArray:
    """Of the tokens that were read. Of a text that is longer the last one read is not its own, but closes the input."""
    if len(offsets) <= count:
        return offsets
    read = offsets[:count].copy()
    read[-1] = 0
    return read


def _packed(offsets: IntArray, vectors: Vectors) -> bytes:
    real = (offsets[:, 1] > offsets[:, 0]) & (offsets[:, 0] >= 0)
    kept, count = vectors[: len(offsets)][real], int(real.sum())
    return np.int32(count).tobytes() + offsets[real].astype("<i4").tobytes() + kept.astype("<f2").tobytes()


def _unpacked(stored: bytes, width: int) -> TokenVectors:
    count = int(np.frombuffer(stored[:4], "<i4")[0])
    middle = 4 + 8 * count
    offsets = np.frombuffer(stored[4:middle], "<i4").reshape(count, 2).astype(np.int64)
    return TokenVectors(offsets, np.frombuffer(stored[middle:], "<f2").reshape(count, width).astype(np.float32))
