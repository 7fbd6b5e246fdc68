from __future__ import annotations

import dataclasses
from typing import Annotated

from annotated_types import Ge
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.parts.embedders.model import with_dimensions


@register("embedder", "instruct")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Instruct:
    """An instruction model: `task` says in a sentence what the search is for, and is put before every query."""

    name: str
    task: str = "Given a question, retrieve the passages that answer it"
    dimensions: Annotated[int, Ge(2)] | None = None

    def adapt(self, card: EmbedderCard) -> EmbedderCard:
        if not card.takes_task:
            raise ImpossiblePipeline(f"{self.name} takes no task: neither of its prompts has {{task}} in it")
        other = {} if self.task != card.task else card.golden  # golden vectors are those of the card's own task
        return with_dimensions(dataclasses.replace(card, task=self.task, golden=other), self.dimensions)
