"""Late interaction: tokens of the question against tokens of the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.reranker_resources import RerankerResources
from rag_opt.models.token_models import TokenModel, find_token_card, open_token_model

_TEXTS_AT_ONCE = 1024  # vectors of tokens are large: not all at once


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
        return find_token_card(self.name, rerankers, embedders)

    def scorer(self, resources: RerankerResources) -> MaxSim:
        """Return the model that scores pairs."""
        return MaxSim(open_token_model(self.name, resources))


class MaxSim:
    """A scorer of pairs by the vectors that a model gives to tokens."""

    def __init__(self, model: TokenModel) -> None:
        self._model, self.key = model, model.key

    def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one mean of cosines per (question, text), in [-1, 1]."""
        asked = self._model.tokens({question for question, _ in pairs}, "query")
        found = np.zeros(len(pairs), np.float32)
        texts = sorted({text for _, text in pairs})
        place: dict[str, list[int]] = {}
        for number, (_, text) in enumerate(pairs):
            place.setdefault(text, []).append(number)
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            for text, said in self._model.tokens(set(texts[first : first + _TEXTS_AT_ONCE]), "document").items():
                for number in place[text]:
                    question = asked[pairs[number][0]]
                    if len(said) and len(question):
                        found[number] = (question @ said.T).max(axis=1).mean()
                    else:
                        found[number] = -1.0
        return found
