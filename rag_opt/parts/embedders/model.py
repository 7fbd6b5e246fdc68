"""An embedding model as it is."""

from __future__ import annotations

from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.embedder_cards import EmbedderCard, with_dimensions


@register("embedder", "model")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Model:
    """Embed by a model, its vectors cut to some dimensions if wanted and made of unit length again."""

    name: Annotated[str, Doc("Name of the model's card, its id on the hub, or a folder.")] = "minilm"
    dimensions: Annotated[
        Annotated[int, Ge(2)] | None, Doc("Only the first so many of each vector; null: all that the model gives.")
    ] = None

    def adapt(self, card: EmbedderCard) -> EmbedderCard:
        """Return the card with the dimensions that are kept."""
        return with_dimensions(card, self.dimensions)
