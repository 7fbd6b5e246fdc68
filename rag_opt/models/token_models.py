"""Models that give a vector for each token of a text: embedding models before they pool, and ColBERT models."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.digests import digest
from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.loaded_models import load_once, loading_options, one_at_a_time
from rag_opt.models.purposes import Purpose
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.reranker_resources import RerankerResources
from rag_opt.models.runtimes import ModelFiles, Runtime, decide, files_digest, weights_bytes

_TEXTS_AT_ONCE = 32
Tokens = NDArray[np.float32]


class TokenModel(Protocol):
    """A model that gives vectors of tokens. `key`: hash of everything that determines them."""

    key: str

    def tokens(self, texts: Collection[str], purpose: str) -> dict[str, Tokens]:
        """Return [tokens, dimensions] by text, of unit length; `purpose`: query or document."""
        ...


def find_token_card(
    name: str, rerankers: CardLibrary[RerankerCard], embedders: CardLibrary[EmbedderCard]
) -> RerankerCard | EmbedderCard:
    """Return the card of a model by its name. Raises BadInput for none, ImpossiblePipeline where it gives no tokens."""
    if name in rerankers.names():
        card = rerankers.read(name)
        if card.architecture != "colbert":
            raise ImpossiblePipeline(f"{name} is a {card.architecture}; it gives no vectors of tokens")
        return card
    embedder = embedders.read(name)
    if embedder.served:
        raise ImpossiblePipeline(f"{name} runs behind a server, which gives no vectors of tokens")
    if embedder.vectors != "dense":
        raise ImpossiblePipeline(f"{name} gives weights of words; it gives no vectors of tokens")
    return embedder


def open_token_model(name: str, resources: RerankerResources) -> TokenModel:
    """Return the model of a card by its name; nothing is loaded yet."""
    if name in resources.rerankers.names():
        return ColBert(resources.rerankers.read(name), resources)
    return TokenEmbedder(name, resources)


class TokenEmbedder:
    """The tokens of an embedding model, in float32 (a `TokenModel`)."""

    def __init__(self, name: str, resources: RerankerResources) -> None:
        self._name, self._resources = name, resources
        self.key = digest(["late_interaction", resources.tokens_key(name)])

    def tokens(self, texts: Collection[str], purpose: str) -> dict[str, Tokens]:
        """Return [tokens, dimensions] by text, of unit length; `purpose`: query or document."""
        some = sorted(texts)
        # in float32 like a query: what is compared here is compared again where the pipeline is served
        exact: Purpose = "query" if purpose == "query" else "sentence"
        found = self._resources.tokens(self._name, some, exact)
        return {text: _unit(one[1]) for text, one in zip(some, found, strict=True)}


class ColBert:
    """A ColBERT model by sentence-transformers' MultiVectorEncoder, in float32 (a `TokenModel`)."""

    def __init__(self, card: RerankerCard, resources: RerankerResources) -> None:
        self.card, self.folder = card, card.folder
        self._files = ModelFiles(self.folder, card.reads_tokens, dtype=card.dtype)
        self._runtime: Runtime = decide(resources.machine, card, resources.values).exact
        self.key = digest(["colbert", files_digest(self.folder, resources.values), card.dtype, self._runtime.facts])

    def tokens(self, texts: Collection[str], purpose: str) -> dict[str, Tokens]:
        """Return [tokens, dimensions] by text, of unit length; `purpose`: query or document."""
        weighs, key = weights_bytes(self.folder), (self._files, self._runtime, "colbert")
        model: Any = load_once(key, weighs, self._load)
        some = sorted(texts, key=len)
        encode = model.encode_query if purpose == "query" else model.encode_document
        with one_at_a_time:
            found = encode(some, batch_size=_TEXTS_AT_ONCE, show_progress_bar=False)
        return {text: _unit(np.asarray(one, np.float32)) for text, one in zip(some, found, strict=True)}

    def _load(self) -> Any:
        kwargs = loading_options(self._files)
        from sentence_transformers import MultiVectorEncoder

        model = MultiVectorEncoder(str(self.folder), device=self._runtime.device, **kwargs)
        model.eval()
        return model


def _unit(vectors: Tokens) -> Tokens:
    unit: Tokens = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
