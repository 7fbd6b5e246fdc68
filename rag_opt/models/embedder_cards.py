"""Cards of embedding models (`conf/embedder/*.yaml`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary, ModelCard, library_folders
from rag_opt.models.inferred_cards import infer_facts

TASK = "{task}"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EmbedderCard(ModelCard):
    """`backend`: what runs the model; tei and openai need its `url`. Prompts are put before every query and document;
    `{task}` in them is the text of `task`, which an `instruct` embedder may set. `query_prompt_name` and
    `document_prompt_name` take the model's own prompts instead. `pooling`: what it must be found to do.
    `normalises`: whether the model gives unit vectors by itself; they are made so always. `prior_quality`: nDCG@10 of
    MTEB retrieval in points, says which models a search tries first. `golden`: vectors that the model must give for a
    fixed text, as query and as document (`rag_opt.parts.embedders.golden`).
    """

    dimensions: Annotated[int, Ge(1)]
    backend: Literal["sentence_transformers", "tei", "openai"] = "sentence_transformers"
    trained_tokens: Annotated[int, Ge(8)] | None = None
    pooling: Literal["mean", "cls", "last"] | None = None
    normalises: bool | None = None
    query_prompt: str = ""
    document_prompt: str = ""
    query_prompt_name: str | None = None
    document_prompt_name: str | None = None
    task: str | None = None
    truncate_dimensions: Annotated[int, Ge(2)] | None = None
    prior_quality: Annotated[float, Ge(0), Le(100)] | None = None
    golden: dict[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        return f"embedder {self.id}"

    @property
    def served(self) -> bool:
        return self.backend != "sentence_transformers"

    @property
    def vector_dimensions(self) -> int:
        return self.truncate_dimensions or self.dimensions

    @property
    def takes_task(self) -> bool:
        return TASK in self.query_prompt + self.document_prompt


EmbedderCards = CardLibrary[EmbedderCard]


def infer(name: str) -> EmbedderCard:
    """The card of a model that has none, from its own files. Raises BadInput where they are not to be had."""
    return EmbedderCard(**infer_facts(name), verified=False)


def embedder_card_library(conf_folders: Sequence[Path]) -> EmbedderCards:
    """The `embedder/` folders of the config folders in use."""
    return CardLibrary(EmbedderCard, "embedder.model.name", library_folders(conf_folders, "embedder"), infer=infer)
