"""Embedding models behind a server: text-embeddings-inference, OpenAI's /v1/embeddings, whatever LiteLLM knows."""

from __future__ import annotations

import base64
import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, ModelRefused, Problem, ServerFailed
from rag_opt.core.forking import ThreadLock
from rag_opt.core.strict import PlainDict
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.http_client import MOST_IN_FLIGHT, HttpClient, TooMuch
from rag_opt.models.http_replies import Json, Reply, find_error
from rag_opt.models.litellm_address import ADDRESS, open_transport
from rag_opt.models.llm.budget import BudgetTracker, Cost
from rag_opt.models.purposes import Purpose, Vectors
from rag_opt.text.tokens import Tokenizer

# a batch is refused for its size with many words; a single text only for its length
_BATCH_TOKENS, _BATCH_TEXTS = 16_384, 32
_OPENAI_TOKENS, _OPENAI_TEXTS = 100_000, 256
_PERMITS = 512
_MOST_BYTES = 200_000_000  # of a reply: 256 vectors of 8,192 numbers as text are 40 MB
_SHORTER = 0.9  # of a text that the server still finds too long, whatever our tokenizer says
_TOO_LONG = re.compile(r"(?:token|length|context|long|batch|size|character)", re.IGNORECASE)


Item = TypeVar("Item")
Result = TypeVar("Result")


class ServedEncoder:
    """A model behind a server (an `EncoderBackend`); its threads share the counter `cut` under a lock."""

    in_flight = MOST_IN_FLIGHT

    def __init__(self, card: EmbedderCard, tokenizer: Tokenizer, budget_tracker: BudgetTracker) -> None:
        self.card, self._tokenizer = card, tokenizer
        self.cut = 0
        self._lock = ThreadLock()
        self._budget_tracker = budget_tracker
        self.http_client = self._new_http_client()

    def _new_http_client(self) -> HttpClient:
        card = self.card
        if card.url is None:
            problem = f"backend {card.backend} needs the address of its server: +embedder.cards.<name>.url=…"
            raise BadInput([Problem(card.where, problem)])
        return HttpClient(card.url, key_variable=card.key_variable, most_bytes=_MOST_BYTES)

    @property
    def batch(self) -> tuple[int, int]:
        """Most tokens and most texts of a batch."""
        return _BATCH_TOKENS, _BATCH_TEXTS

    @property
    def most_tokens(self) -> int:
        """Most tokens of a text, special tokens included."""
        return self.card.reads_tokens

    @property
    def files_digest(self) -> str:
        """Hash of what the server says of itself."""
        return digest(self.server_facts)

    @property
    def server_facts(self) -> PlainDict:
        """Facts about the server that determine its vectors."""
        raise NotImplementedError

    def facts(self, purpose: Purpose) -> str:
        """Return what determines a vector beside its exact input: the same for every purpose that has one type."""
        input_type = self._input_type(purpose)
        return self.files_digest if input_type is None else digest([self.files_digest, input_type])

    def _input_type(self, purpose: Purpose) -> str | None:
        """Return the name by which the service knows a purpose; None where it is not told."""
        return self.card.query_input_type if purpose == "query" else self.card.document_input_type

    def prepare(self, purpose: Purpose) -> None:
        """Do nothing: the server has loaded its model."""

    def token_vectors(self, texts: Sequence[str], purpose: Purpose) -> list[Vectors]:
        """Raise ModelRefused: servers give one vector of a text."""
        raise ModelRefused(f"{self.card.where}: a server gives no vectors of single tokens")

    def map(self, do: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield `do` of every item, in their order; `in_flight` of them run at once."""
        return self.http_client.map(do, items)

    def embed(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """Return [texts, dimensions] of exact inputs, prompts included; in halves where they are too many at once."""
        return self._embed_in_halves([self._shorten(text) for text in texts], purpose)

    def _shorten(self, text: str) -> str:
        most = self.most_tokens
        if int(self._tokenizer.lengths([text])[0]) <= most:
            return text
        self._count_cut()
        return self._tokenizer.truncate(text, most)

    def _count_cut(self) -> None:
        with self._lock:
            self.cut += 1

    def _embed_in_halves(self, texts: list[str], purpose: Purpose) -> Vectors:
        try:
            return self._validate(self._request(texts, purpose), len(texts))
        except TooMuch as error:
            if len(texts) == 1:
                return self._embed_one(texts[0], purpose, error)
            if not _TOO_LONG.search(error.message):
                raise ServerFailed(f"{self.http_client.url} refuses the request: {error}") from None
        middle = len(texts) // 2
        halves = texts[:middle], texts[middle:]
        return np.concatenate([self._embed_in_halves(half, purpose) for half in halves])

    def _embed_one(self, text: str, purpose: Purpose, error: TooMuch) -> Vectors:
        """Shorten a text until it fits, where it is longer to the server than to our tokenizer."""
        if not _TOO_LONG.search(error.message) or not text:
            raise ServerFailed(f"{self.http_client.url} refuses a text of {len(text)} characters: {error}") from None
        self._count_cut()
        while text:
            text = text[: math.floor(len(text) * _SHORTER)]
            try:
                return self._validate(self._request([text], purpose), 1)
            except TooMuch:
                continue
        raise ServerFailed(f"{self.http_client.url} refuses every beginning of a text: {error}")

    def _validate(self, rows: Json, count: int) -> Vectors:
        try:
            vectors = np.asarray(rows, np.float32)
        except (TypeError, ValueError):
            raise ServerFailed(f"{self.http_client.url} gave no array of numbers") from None
        if vectors.ndim != 2 or len(vectors) != count or not np.isfinite(vectors).all():
            raise ServerFailed(
                f"{self.http_client.url} gave an array of {vectors.shape} for {count} texts, or values not finite"
            )
        if not (np.abs(vectors).sum(axis=1) > 0).all():
            raise ServerFailed(f"{self.http_client.url} gave a vector of zeros, which is near to nothing")
        return vectors

    def _request(self, texts: list[str], purpose: Purpose) -> Json:
        """Ask for the vectors of a batch. Raises TooMuch where it is too large."""
        raise NotImplementedError

    def _post(self, path: str, body: PlainDict, texts: list[str]) -> Json:
        """Return the reply to a request for the vectors of some texts, booked where its card names a price."""
        price = self.card.usd_per_million_tokens or 0.0
        if self.card.usd_per_million_tokens is None and self.card.backend != "litellm":
            return self.http_client.post(path, body)  # a server of one's own

        def cost(reply: Reply, took_s: float) -> Cost:
            if reply.status != 200:
                return 0, 0, 0.0
            counted = _count_tokens(reply)  # a text is a token at least: fewer are none that it counted
            tokens = counted if counted >= len(texts) else int(self._tokenizer.lengths(texts).sum())
            return tokens, 0, tokens * price / 1e6

        most_usd = sum(len(text.encode()) for text in texts) * price / 1e6  # a token is a byte at least
        booked = self._budget_tracker.booked
        book = functools.partial(booked, "embedder", self.card.id, most_usd=most_usd, cost=cost)
        return self.http_client.post(path, body, each=book)


class Tei(ServedEncoder):
    """text-embeddings-inference.

    Its `/info` says which model it serves, how much it takes, and what determines its vectors. `truncate` is always
    sent: its default changed between versions.
    """

    @functools.cached_property
    def info(self) -> PlainDict:
        """Description that the server gives of itself. Raises ModelRefused for another model than the card's."""
        info = self.http_client.get("/info")
        if not isinstance(info, dict) or "model_id" not in info:
            raise ServerFailed(f"{self.http_client.url}/info does not describe a model: {str(info)[:100]}")
        card, kind = self.card, info.get("model_type") or {}
        expected = card.served_as or card.id
        if info["model_id"] != expected:
            raise ModelRefused(
                f"{self.http_client.url} serves {info['model_id']}, not {expected} (served_as says another name)"
            )
        if "embedding" not in kind:
            raise ModelRefused(f"{self.http_client.url} serves {info['model_id']} as {list(kind)}, not for embedding")
        if card.revision and info.get("model_sha") and info["model_sha"] != card.revision:
            raise ModelRefused(
                f"{self.http_client.url} serves revision {info['model_sha']}, the card says {card.revision}"
            )
        pooling = str((kind["embedding"] or {}).get("pooling", ""))
        if card.pooling and pooling and not pooling.replace("_", "").startswith(card.pooling):
            raise ModelRefused(f"{self.http_client.url} pools by {pooling}, the card says {card.pooling}")
        return info

    @property
    def server_facts(self) -> PlainDict:
        """Facts about the server that determine its vectors."""
        kept = ("model_id", "model_sha", "model_dtype", "model_type", "max_input_length", "version")
        return {"backend": "tei", "tokens": self.most_tokens, **{name: self.info.get(name) for name in kept}}

    @property
    def batch(self) -> tuple[int, int]:
        """Most tokens and most texts of a batch, as the server says."""
        together = int(self.info.get("max_concurrent_requests") or _PERMITS) // self.in_flight  # a permit is one text's
        texts = max(min(int(self.info.get("max_client_batch_size") or _BATCH_TEXTS), together), 1)
        return int(self.info.get("max_batch_tokens") or _BATCH_TOKENS), texts

    @property
    def most_tokens(self) -> int:
        """Most tokens of a text that the card and the server allow."""
        return min(self.card.reads_tokens, int(self.info.get("max_input_length") or self.card.reads_tokens))

    def _request(self, texts: list[str], purpose: Purpose) -> Json:
        rows = self._post("/embed", {"inputs": texts, "truncate": False, "normalize": True}, texts)
        if find_error(rows):  # inside a 200
            raise ServerFailed(f"{self.http_client.url}/embed answered: {find_error(rows)}")
        return rows


class OpenAI(ServedEncoder):
    """A server with OpenAI's /v1/embeddings. `url` ends before `/embeddings`, as in `https://host/v1`."""

    _names_encoding = True

    @property
    def batch(self) -> tuple[int, int]:
        """Most tokens and most texts of a batch."""
        return _OPENAI_TOKENS, self.card.most_texts or _OPENAI_TEXTS

    @property
    def server_facts(self) -> PlainDict:
        """Address and name of the model: such a server says nothing else that determines its vectors."""
        model = self.card.served_as or self.card.id
        return {"backend": "openai", "url": self.http_client.url, "model": model, "tokens": self.most_tokens}

    def _request(self, texts: list[str], purpose: Purpose) -> Json:
        reply = self._post_named(texts, self._input_type(purpose))
        rows = reply.get("data") if isinstance(reply, dict) else None
        try:
            return _in_order(rows, len(texts))
        except (KeyError, TypeError, ValueError):
            said = find_error(reply) or f"no vector for each of {len(texts)} texts"
            raise ServerFailed(f"{self.http_client.url}/embeddings answered: {said}") from None

    def _post_named(self, texts: list[str], input_type: str | None) -> Json:
        body: PlainDict = {"model": self.card.served_as or self.card.id, "input": texts}
        body |= {} if input_type is None else {"input_type": input_type}
        if self._names_encoding:
            try:
                return self._post("/embeddings", {**body, "encoding_format": "float"}, texts)
            except TooMuch as error:
                if "encoding_format" not in error.message:
                    raise
                self._names_encoding = False  # some servers refuse what they do not know
        return self._post("/embeddings", body, texts)


class LiteLLM(OpenAI):
    """A service that LiteLLM knows; `served_as` names its maker and the model, as in `cohere/embed-v4.0`."""

    _names_encoding = False

    def _new_http_client(self) -> HttpClient:
        transport = functools.partial(open_transport, self.card.url)
        return HttpClient(ADDRESS, key_variable=self.card.key_variable, most_bytes=_MOST_BYTES, transport=transport)

    @property
    def server_facts(self) -> PlainDict:
        """Name of the model at its maker, with the address of a deployment of one's own: its name says nothing."""
        named = {"model": self.card.served_as or self.card.id, "revision": self.card.revision, "url": self.card.url}
        return {"backend": "litellm", **named, "tokens": self.most_tokens}


def _count_tokens(reply: Reply) -> int:
    """Return how many tokens a service says it has read; 0 where it says nothing that is a number."""
    usage = reply.json.get("usage") if reply.is_json and isinstance(reply.json, dict) else None
    counted = usage.get("total_tokens") or usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return counted if isinstance(counted, int) and not isinstance(counted, bool) and counted > 0 else 0


def _in_order(rows: Json, count: int) -> list[Json]:
    """Return the vectors in the order of their texts: by index where every row has one, else by position.

    Some servers leave the index out, or leave out that of 0. Base64 is of little-endian float32, as OpenAI's.
    """
    vectors = [_decoded(row["embedding"]) for row in rows]
    indexes = [row.get("index") for row in rows]
    if all(isinstance(index, int) for index in indexes):
        placed = dict(zip(indexes, vectors, strict=True))
        return [placed[number] for number in range(count)]
    if len(vectors) != count:
        raise ValueError("not one for each")
    return vectors


def _decoded(vector: Json) -> Json:
    return np.frombuffer(base64.b64decode(vector, validate=True), "<f4") if isinstance(vector, str) else vector


SERVED: dict[str, type[ServedEncoder]] = {
    "tei": Tei,
    "openai": OpenAI,
    "litellm": LiteLLM,
}  # by the backend that a card names
