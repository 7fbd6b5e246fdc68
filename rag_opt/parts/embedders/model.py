from __future__ import annotations

import dataclasses
from typing import Annotated

from annotated_types import Ge
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.embedder_cards import EmbedderCard


@register("embedder", "model")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Model:
    """An embedding model by the name of its card (`conf/embedder/<name>.yaml`), by its id on the hub, or by a folder.
    `dimensions`: only the first so many of each vector, made of unit length again.
    """

    name: str = "minilm"
    dimensions: Annotated[int, Ge(2)] | None = None

    def adapt(self, card: EmbedderCard) -> EmbedderCard:
        return with_dimensions(card, self.dimensions)


def with_dimensions(card: EmbedderCard, dimensions: int | None) -> EmbedderCard:
    """The card cut to so many dimensions. Raises ImpossiblePipeline where they are more than it has."""
    if dimensions is not None and dimensions > card.dimensions:
        raise ImpossiblePipeline(f"{card.id} has {card.dimensions} dimensions, not {dimensions}")
    kept = card.truncate_dimensions if dimensions is None else dimensions if dimensions < card.dimensions else None
    return dataclasses.replace(card, truncate_dimensions=kept)
