"""Vectors on principal components of the corpus."""

from __future__ import annotations

from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.embedder_cards import EmbedderCard


@register("embedder", "pca")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Pca:
    """Project a model's vectors on the first principal components of the chunks' vectors.

    What is indexed and searched is projected; sentences are compared by the whole vectors.
    """

    name: Annotated[str, Doc("Name of the model's card, its id on the hub, or a folder.")] = "minilm"
    project_to: Annotated[int, Ge(2), Doc("Principal components that are kept.")] = 128

    def adapt(self, card: EmbedderCard) -> EmbedderCard:
        """Return the card. Raises ImpossiblePipeline where it has no more dimensions than are kept."""
        if self.project_to >= card.vector_dimensions:
            what = f"{self.name} has {card.vector_dimensions} dimensions: {self.project_to} of them are no fewer"
            raise ImpossiblePipeline(what)
        return card
