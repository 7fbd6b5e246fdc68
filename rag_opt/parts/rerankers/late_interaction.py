"""Late interaction: tokens of the question against tokens of the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.digests import digest
from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.loaded_models import load_once, loading_options, one_at_a_time
from rag_opt.models.purposes import Purpose
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.reranker_resources import RerankerResources
from rag_opt.models.runtimes import ModelFiles, Runtime, decide, files_digest, weights_bytes

_TEXTS_AT_ONCE = 32
Tokens = NDArray[np.float32]


@register("reranker", "late_interaction")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class LateInteraction:
    """Order the first hits by MaxSim (Khattab & Zaharia, 2020).

    Each token of the question counts by its most similar token of the text, averaged: by the tokens of an embedding
    model, or of a ColBERT model (`conf/reranker/`).
    """

    name: Annotated[str, Doc("Name of the model's card, its id on the hub, or a folder.")] = "minilm"
    depth: Annotated[int, Ge(1), Le(1000), Doc("How many of the first hits are scored.")] = 20

    uses_llm: ClassVar[bool] = False

    def find_card(
        self, rerankers: CardLibrary[RerankerCard], embedders: CardLibrary[EmbedderCard]
    ) -> RerankerCard | EmbedderCard:
        """Return the card of its model. Raises BadInput and ImpossiblePipeline where it is of no use here."""
        if self.name in rerankers.names():
            card = rerankers.read(self.name)
            if card.architecture != "colbert":
                raise ImpossiblePipeline(f"{self.name} is a {card.architecture}; it gives no vectors of tokens")
            return card
        embedder = embedders.read(self.name)
        if embedder.served:
            raise ImpossiblePipeline(f"{self.name} runs behind a server, which gives no vectors of tokens")
        return embedder

    def scorer(self, resources: RerankerResources) -> MaxSim:
        """Return the model that scores pairs."""
        if self.name in resources.rerankers.names():
            return ColBert(resources.rerankers.read(self.name), resources)
        return TokenEmbedder(self.name, resources)


class MaxSim:
    """A scorer of pairs by the vectors that a model gives to tokens."""

    key: str

    def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one mean of cosines per (question, text), in [-1, 1]."""
        asked = {text: _unit(one) for text, one in self._of({question for question, _ in pairs}, "query").items()}
        found = np.zeros(len(pairs), np.float32)
        texts = sorted({text for _, text in pairs})
        place: dict[str, list[int]] = {}
        for number, (_, text) in enumerate(pairs):
            place.setdefault(text, []).append(number)
        for first in range(0, len(texts), 1024):  # vectors of tokens are large: not all at once
            for text, tokens in self._of(set(texts[first : first + 1024]), "document").items():
                said = _unit(tokens)
                for number in place[text]:
                    question = asked[pairs[number][0]]
                    if len(said) and len(question):
                        found[number] = (question @ said.T).max(axis=1).mean()
                    else:
                        found[number] = -1.0
        return found

    def _of(self, texts: set[str], purpose: str) -> dict[str, Tokens]:
        raise NotImplementedError


class TokenEmbedder(MaxSim):
    """The tokens of an embedding model, in float32."""

    def __init__(self, name: str, resources: RerankerResources) -> None:
        self._name, self._resources = name, resources
        self.key = digest(["late_interaction", resources.tokens_key(name)])

    def _of(self, texts: set[str], purpose: str) -> dict[str, Tokens]:
        some = sorted(texts)
        # in float32 like a query: what is compared here is compared again where the pipeline is served
        exact: Purpose = "query" if purpose == "query" else "sentence"
        return {text: one[1] for text, one in zip(some, self._resources.tokens(self._name, some, exact), strict=True)}


class ColBert(MaxSim):
    """A ColBERT model by sentence-transformers' MultiVectorEncoder, in float32."""

    def __init__(self, card: RerankerCard, resources: RerankerResources) -> None:
        self.card, self.folder = card, card.folder
        self._files = ModelFiles(self.folder, card.reads_tokens, dtype=card.dtype)
        self._runtime: Runtime = decide(resources.machine, card, resources.values).exact
        self.key = digest(["colbert", files_digest(self.folder, resources.values), card.dtype, self._runtime.facts])

    def _of(self, texts: set[str], purpose: str) -> dict[str, Tokens]:
        weighs, key = weights_bytes(self.folder), (self._files, self._runtime, "colbert")
        model: Any = load_once(key, weighs, self._load)
        some = sorted(texts, key=len)
        encode = model.encode_query if purpose == "query" else model.encode_document
        with one_at_a_time:
            found = encode(some, batch_size=_TEXTS_AT_ONCE, show_progress_bar=False)
        return {text: np.asarray(one, np.float32) for text, one in zip(some, found, strict=True)}

    def _load(self) -> Any:
        kwargs = loading_options(self._files)
        from sentence_transformers import MultiVectorEncoder

        model = MultiVectorEncoder(str(self.folder), device=self._runtime.device, **kwargs)
        model.eval()
        return model


def _unit(vectors: Tokens) -> Tokens:
    unit: Tokens = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
