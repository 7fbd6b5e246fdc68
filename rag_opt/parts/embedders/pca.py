from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_types import Ge
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.errors import ImpossiblePipeline
from rag_opt.parts.embedders.cards import Card
from rag_opt.registry import register


@register("embedder", "pca")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Pca:
    """A model whose vectors are projected on the first `project_to` principal components of the chunks' vectors.

    What is indexed and searched is projected; sentences are compared by the whole vectors.
    """

    shapes_documents: ClassVar[bool] = True

    name: str = "minilm"
    project_to: Annotated[int, Ge(2)] = 128

    def adapt(self, card: Card) -> Card:
        if self.project_to >= card.vector_dimensions:
            what = f"{self.name} has {card.vector_dimensions} dimensions: {self.project_to} of them are no fewer"
            raise ImpossiblePipeline(what)
        return card
