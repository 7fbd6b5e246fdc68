from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_types import Ge
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.embedder_cards import EmbedderCard


@register("embedder", "pca")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Pca:
    """A model whose vectors are projected on the first `project_to` principal components of the chunks' vectors.

    What is indexed and searched is projected; sentences are compared by the whole vectors.
    """

    shapes_documents: ClassVar[bool] = True

    name: str = "minilm"
    project_to: Annotated[int, Ge(2)] = 128

    def adapt(self, card: EmbedderCard) -> EmbedderCard:
        if self.project_to >= card.vector_dimensions:
            what = f"{self.name} has {card.vector_dimensions} dimensions: {self.project_to} of them are no fewer"
            raise ImpossiblePipeline(what)
        return card
