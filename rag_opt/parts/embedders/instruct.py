"""An instruction model with a task of one's own."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.embedder_cards import EmbedderCard, with_dimensions


@register("embedder", "instruct")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Instruct:
    """Embed by an instruction model that is told what the search is for."""

    name: Annotated[str, Doc("Name of the model's card, its id on the hub, or a folder.")]
    task: Annotated[str, Doc("What the search is for, in a sentence; stands before every query.")] = (
        "Given a question, retrieve the passages that answer it"
    )
    dimensions: Annotated[
        Annotated[int, Ge(2)] | None, Doc("Only the first so many of each vector; null: all that the model gives.")
    ] = None

    def adapt(self, card: EmbedderCard) -> EmbedderCard:
        """Return the card with this task in its prompts."""
        if not card.takes_task:
            raise ImpossiblePipeline(f"{self.name} takes no task: neither of its prompts has {{task}} in it")
        other = {} if self.task != card.task else card.golden  # golden vectors are those of the card's own task
        return with_dimensions(dataclasses.replace(card, task=self.task, golden=other), self.dimensions)
