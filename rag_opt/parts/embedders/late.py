"""Late chunking: chunks pooled from the tokens of whole documents."""

from __future__ import annotations

from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.embedder_cards import EmbedderCard


@register("embedder", "late")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Late:
    """Late chunking (Günther et al., 2024), for models that pool by the mean.

    The transformer reads windows of the document, and a chunk's vector is the mean of its token vectors there, so that
    it knows what stands around the chunk. All chunk sizes share one reading.
    """

    name: Annotated[str, Doc("Name of the model's card, its id on the hub, or a folder.")] = "minilm"
    window: Annotated[Annotated[int, Ge(16)] | None, Doc("Tokens read at once; null: all that the model reads.")] = None
    overlap: Annotated[float, Ge(0), Le(0.9), Doc("Share of a window that the next one reads again.")] = 0.25

    def adapt(self, card: EmbedderCard) -> EmbedderCard:
        """Return the card. Raises ImpossiblePipeline for a model whose tokens cannot be pooled here."""
        if card.pooling != "mean":
            pooling = card.pooling or "its card does not say what"
            raise ImpossiblePipeline(f"{self.name} pools by {pooling}: late chunking needs the mean of tokens")
        if card.served:
            raise ImpossiblePipeline(f"{self.name} runs behind a server, which gives no vectors of tokens")
        if self.window is not None and self.window > card.reads_tokens:
            raise ImpossiblePipeline(
                f"a window of {self.window} tokens is longer than {self.name} reads ({card.reads_tokens})"
            )
        return card
