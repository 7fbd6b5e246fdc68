"""Embedding models behind a server: text-embeddings-inference, or anything that speaks OpenAI's /v1/embeddings."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from rag_opt.core.errors import BadInput, ModelRefused, Problem, ServerFailed
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.http_client import MOST_IN_FLIGHT, HttpClient, TooMuch
from rag_opt.models.purposes import Purpose, Vectors
from rag_opt.text.tokens import Tokenizer

# a batch is refused for its size with many words; a single text only for its length
_BATCH_TOKENS, _BATCH_TEXTS = 16_384, 32
_OPENAI_TEXTS = 256
_PERMITS = 512
_SHORTER = 0.9  # of a text that the server still finds too long, whatever our tokenizer says
_MUST_BE = re.compile(r"(?:token|length|context|long|batch|size|character)", re.IGNORECASE)


class _Served:
    """What both kinds share. `cut`: texts of which the server was given only the beginning, counted."""

    in_flight = MOST_IN_FLIGHT
    most_texts = _BATCH_TEXTS

    def __init__(self, card: EmbedderCard, tokenizer: Tokenizer) -> None:
        self.card, self._tokenizer = card, tokenizer
        self.cut = 0
        if card.url is None:
            what = f"backend {card.backend} needs the address of its server: +embedder.cards.<name>.url=…"
            raise BadInput([Problem(card.where, what)])
        self.http_client = HttpClient(card.url, key_variable=card.key_variable)

    @property
    def batch(self) -> tuple[int, int]:
        return _BATCH_TOKENS, self.most_texts

    @property
    def most_tokens(self) -> int:
        """Of a text, special tokens included."""
        return self.card.reads_tokens

    def prepare(self, purpose: Purpose) -> None:
        """Nothing is loaded here."""

    def embed(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """Vectors of exact inputs, prompts included; in halves where the server finds them too many."""
        short = [self._shortened(text) for text in texts]
        return self._halving(short)

    def _shortened(self, text: str) -> str:
        most = self.most_tokens
        if int(self._tokenizer.lengths([text])[0]) <= most:
            return text
        self.cut += 1
        return self._tokenizer.beginning(text, most)

    def _halving(self, texts: list[str]) -> Vectors:
        try:
            return self._checked(self._request(texts), len(texts))
        except TooMuch as error:
            if len(texts) == 1:
                return self._single(texts[0], error)
            if not _MUST_BE.search(error.message):
                raise ServerFailed(f"{self.http_client.url} refuses the request: {error}") from None
        middle = len(texts) // 2
        return np.concatenate([self._halving(texts[:middle]), self._halving(texts[middle:])])

    def _single(self, text: str, error: TooMuch) -> Vectors:
        """A text that is longer to the server than to our tokenizer is shortened until it fits."""
        if not _MUST_BE.search(error.message) or not text:
            raise ServerFailed(f"{self.http_client.url} refuses a text of {len(text)} characters: {error}") from None
        self.cut += 1
        while text:
            text = text[: math.floor(len(text) * _SHORTER)]
            try:
                return self._checked(self._request([text]), 1)
            except TooMuch:
                continue
        raise ServerFailed(f"{self.http_client.url} refuses every beginning of a text: {error}")

    def _checked(self, vectors: Any, count: int) -> Vectors:
        try:
            found = np.asarray(vectors, np.float32)
        except (TypeError, ValueError):
            raise ServerFailed(f"{self.http_client.url} gave something that is no array of numbers") from None
        if found.ndim != 2 or len(found) != count or not np.isfinite(found).all():
            raise ServerFailed(
                f"{self.http_client.url} gave an array of {found.shape} for {count} texts, or not numbers"
            )
        return found

    def _request(self, texts: list[str]) -> Any:
        raise NotImplementedError


class Tei(_Served):
    """text-embeddings-inference. Its `/info` says which model it serves, how much it takes, and what determines its
    vectors. `truncate` is always sent: its default changed between versions.
    """

    @functools.cached_property
    def info(self) -> dict[str, Any]:
        found = self.http_client.get("/info")
        if not isinstance(found, dict) or "model_id" not in found:
            raise ServerFailed(f"{self.http_client.url}/info does not describe a model: {str(found)[:100]}")
        card, kind = self.card, found.get("model_type") or {}
        expected = card.served_as or card.id
        if found["model_id"] != expected:
            raise ModelRefused(
                f"{self.http_client.url} serves {found['model_id']}, not {expected} (served_as says another name)"
            )
        if "embedding" not in kind:
            raise ModelRefused(f"{self.http_client.url} serves {found['model_id']} as {list(kind)}, not for embedding")
        if card.revision and found.get("model_sha") and found["model_sha"] != card.revision:
            raise ModelRefused(
                f"{self.http_client.url} serves revision {found['model_sha']}, the card says {card.revision}"
            )
        pooling = str((kind["embedding"] or {}).get("pooling", ""))
        if card.pooling and pooling and not pooling.replace("_", "").startswith(card.pooling):
            raise ModelRefused(f"{self.http_client.url} pools by {pooling}, the card says {card.pooling}")
        return found

    @property
    def facts(self) -> dict[str, Any]:
        kept = ("model_id", "model_sha", "model_dtype", "model_type", "max_input_length", "version")
        return {"backend": "tei", "tokens": self.most_tokens, **{name: self.info.get(name) for name in kept}}

    @property
    def most_texts(self) -> int:  # type: ignore[override]
        together = int(self.info.get("max_concurrent_requests") or _PERMITS) // self.in_flight  # a permit is one text's
        return max(min(int(self.info.get("max_client_batch_size") or _BATCH_TEXTS), together), 1)

    @property
    def batch(self) -> tuple[int, int]:
        return int(self.info.get("max_batch_tokens") or _BATCH_TOKENS), self.most_texts

    @property
    def most_tokens(self) -> int:
        return min(self.card.reads_tokens, int(self.info.get("max_input_length") or self.card.reads_tokens))

    def _request(self, texts: list[str]) -> Any:
        return self.http_client.post("/embed", {"inputs": texts, "truncate": False, "normalize": True})


class OpenAI(_Served):
    """Anything with OpenAI's /v1/embeddings. `url` ends before `/embeddings`, as in `https://host/v1`."""

    most_texts = _OPENAI_TEXTS
    batch = (100_000, _OPENAI_TEXTS)

    @property
    def facts(self) -> dict[str, Any]:
        """A server of this kind says nothing of its model: its address and the model's name have to do."""
        model = self.card.served_as or self.card.id
        return {"backend": "openai", "url": self.http_client.url, "model": model, "tokens": self.most_tokens}

    def _request(self, texts: list[str]) -> Any:
        model = self.card.served_as or self.card.id
        reply = self.http_client.post("/embeddings", {"model": model, "input": texts, "encoding_format": "float"})
        rows = reply.get("data") if isinstance(reply, dict) else None
        try:
            placed = {int(row["index"]): row["embedding"] for row in rows or ()}
            return [placed[number] for number in range(len(texts))]
        except (KeyError, TypeError, ValueError):
            raise ServerFailed(
                f"{self.http_client.url}/embeddings answered no vector for each of {len(texts)} texts"
            ) from None


SERVED = {"tei": Tei, "openai": OpenAI}
