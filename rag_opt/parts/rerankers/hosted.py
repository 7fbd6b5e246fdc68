"""A reranker that its maker runs: Cohere, Voyage and whatever else LiteLLM knows."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.digests import digest
from rag_opt.core.errors import ImpossiblePipeline, ServerFailed
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.http_client import HttpClient, TooMuch
from rag_opt.models.http_replies import Json, Reply
from rag_opt.models.litellm_address import ADDRESS, open_transport
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.reranker_resources import RerankerResources

_TEXTS_AT_ONCE = 100
_CHARACTERS_PER_TOKEN = 4  # where a service does not count


@register("reranker", "hosted")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class HostedReranker:
    """Order the first hits by a service for reranking; `served_as` of its card names maker and model for LiteLLM."""

    name: Annotated[str, Doc("Name of the model's card.")] = "voyage_rerank_2_5_lite"
    depth: Annotated[int, Ge(1), Le(1000), Doc("How many of the first hits are scored.")] = 20

    uses_llm: ClassVar[bool] = False

    def find_card(self, rerankers: CardLibrary[RerankerCard], embedders: CardLibrary[EmbedderCard]) -> RerankerCard:
        """Return the card of its model. Raises BadInput where there is none, ImpossiblePipeline where it runs here."""
        card = rerankers.read(self.name)
        if not card.hosted:
            raise ImpossiblePipeline(f"{self.name} is not run by its maker: the reranker for it is cross_encoder")
        return card

    def scorer(self, resources: RerankerResources) -> HostedScorer:
        """Return the model that scores pairs."""
        return HostedScorer(resources.rerankers.read(self.name), resources)


class HostedScorer:
    """A scorer of pairs behind a service; its calls are booked, at no price where its card names none."""

    def __init__(self, card: RerankerCard, resources: RerankerResources) -> None:
        self.card, self._budget_tracker = card, resources.budget_tracker
        self._model = card.served_as or card.id
        self.key = digest(["hosted reranker", self._model, card.revision, card.url])
        transport = functools.partial(open_transport, card.url)
        self.http_client = HttpClient(ADDRESS, key_variable=card.key_variable, transport=transport)

    def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one score per (question, text), as the service gives it."""
        by_question: dict[str, list[int]] = defaultdict(list)
        for number, (question, _) in enumerate(pairs):
            by_question[question].append(number)
        groups = [
            (question, numbers[first : first + _TEXTS_AT_ONCE])
            for question, numbers in by_question.items()
            for first in range(0, len(numbers), _TEXTS_AT_ONCE)
        ]
        found = np.full(len(pairs), np.nan, np.float32)

        def ask(group: tuple[str, list[int]]) -> tuple[list[int], list[float]]:
            question, numbers = group
            return numbers, self._rerank(question, [pairs[number][1] for number in numbers])

        for numbers, scores in self.http_client.map(ask, groups):
            found[numbers] = scores
        return found

    def _rerank(self, question: str, texts: list[str]) -> list[float]:
        body = {"model": self._model, "query": question, "documents": texts, "top_n": len(texts)}
        price = self.card.usd_per_million_tokens or 0.0
        tokens = sum(len(question) + len(text) for text in texts) // _CHARACTERS_PER_TOKEN

        def cost(reply: Reply, took_s: float) -> tuple[int, int, float]:
            if reply.status != 200:
                return 0, 0, 0.0
            counted = _count_tokens(reply.json) or tokens
            return counted, 0, counted * price / 1e6

        most_usd = tokens * _CHARACTERS_PER_TOKEN * price / 1e6
        booked = self._budget_tracker.booked
        book = functools.partial(booked, "reranker", self.card.id, most_usd=most_usd, cost=cost)
        try:
            reply = self.http_client.post("/rerank", body, each=book)
        except TooMuch as error:
            raise ServerFailed(f"{self._model} refuses to rerank {len(texts)} texts: {error}") from None
        try:
            placed = {int(row["index"]): float(row["relevance_score"]) for row in reply["results"]}
            return [placed[number] for number in range(len(texts))]
        except (KeyError, TypeError, ValueError):
            raise ServerFailed(f"{self._model} gave no score for each of {len(texts)} texts") from None


def _count_tokens(reply: Json) -> int:
    """Return the tokens that a service says it bills; 0 where it says nothing that is a number."""
    meta = reply.get("meta") if isinstance(reply, dict) else None
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    counted = billed.get("total_tokens") if isinstance(billed, dict) else None
    return counted if isinstance(counted, int) and not isinstance(counted, bool) and counted > 0 else 0
