"""A reranker behind text-embeddings-inference."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, ModelRefused, Problem, ServerFailed
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.http_client import HttpClient, TooMuch
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.reranker_resources import RerankerResources

_USUAL_BATCH = 32


@register("reranker", "tei")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class TeiReranker:
    """Order the first hits by a model that text-embeddings-inference serves (`/rerank`); its card says the `url`.

    The server reads only the beginning of a longer text.
    """

    name: Annotated[str, Doc("Name of the model's card, its id on the hub, or a folder.")]
    depth: Annotated[int, Ge(1), Le(1000), Doc("How many of the first hits are scored.")] = 20

    uses_llm: ClassVar[bool] = False

    def find_card(self, rerankers: CardLibrary[RerankerCard], embedders: CardLibrary[EmbedderCard]) -> RerankerCard:
        """Return the card of its model. Raises BadInput and ImpossiblePipeline where it is of no use here."""
        card = rerankers.read(self.name)
        if card.url is None:
            what = "a served reranker needs the url of its server: +reranker.cards.<name>.url=…"
            raise BadInput([Problem(f"reranker {self.name}", what)])
        return card

    def scorer(self, resources: RerankerResources) -> ServedScorer:
        """Return the model that scores pairs."""
        return ServedScorer(resources.rerankers.read(self.name))


class ServedScorer:
    """A scorer of pairs behind a server."""

    def __init__(self, card: RerankerCard) -> None:
        self.card = card
        self.http_client = HttpClient(str(card.url), key_variable=card.key_variable)

    @functools.cached_property
    def info(self) -> dict[str, Any]:
        """What the server says of itself. Raises ModelRefused where it serves another model."""
        found = self.http_client.get("/info")
        expected = self.card.served_as or self.card.id
        if not isinstance(found, dict) or found.get("model_id") != expected:
            served = found.get("model_id") if isinstance(found, dict) else found
            raise ModelRefused(f"{self.http_client.url} serves {served}, not {expected} (served_as says another name)")
        if "reranker" not in (found.get("model_type") or {}):
            raise ModelRefused(
                f"{self.http_client.url} serves {expected} as {found.get('model_type')}, not as a reranker"
            )
        return found

    @functools.cached_property
    def key(self) -> str:
        """Hash of all that determines its scores."""
        kept = ("model_id", "model_sha", "model_dtype", "max_input_length", "version")
        return digest(["tei", {name: self.info.get(name) for name in kept}])

    def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one raw score per (question, text)."""
        most = int(self.info.get("max_client_batch_size") or _USUAL_BATCH)
        by_question: dict[str, list[int]] = defaultdict(list)
        for number, (question, _) in enumerate(pairs):
            by_question[question].append(number)
        parts = [(q, ns[i : i + most]) for q, ns in by_question.items() for i in range(0, len(ns), most)]
        found = np.full(len(pairs), np.nan, np.float32)

        def one(part: tuple[str, list[int]]) -> tuple[list[int], list[float]]:
            return part[1], self._batch(part[0], [pairs[n][1] for n in part[1]])

        for numbers, scores in self.http_client.map(one, parts):
            found[numbers] = scores
        return found

    def _batch(self, question: str, texts: list[str]) -> list[float]:
        body = {"query": question, "texts": texts, "raw_scores": True, "truncate": True}
        try:
            rows = self.http_client.post("/rerank", body)
        except TooMuch as error:
            if len(texts) == 1:
                raise ServerFailed(f"{self.http_client.url} refuses a pair: {error}") from None
            middle = len(texts) // 2
            return self._batch(question, texts[:middle]) + self._batch(question, texts[middle:])
        try:
            placed = {int(row["index"]): float(row["score"]) for row in rows}
            return [placed[number] for number in range(len(texts))]
        except (KeyError, TypeError, ValueError):
            raise ServerFailed(f"{self.http_client.url}/rerank gave no score for each of {len(texts)} texts") from None
