"""Cards of embedding models (`conf/embedder/*.yaml`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from annotated_doc import Doc
from annotated_types import Ge
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary, ModelCard, library_folders
from rag_opt.models.inferred_cards import infer_facts

TASK = "{task}"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EmbedderCard(ModelCard):
    """Settings of an embedding model."""

    dimensions: Annotated[int, Ge(1), Doc("Dimensions of its vectors; of sparse ones the words of its vocabulary.")]
    vectors: Annotated[
        Literal["dense", "sparse"], Doc("sparse: a weight for each word of a vocabulary, for the retriever sparse.")
    ] = "dense"
    backend: Annotated[
        Literal["sentence_transformers", "tei", "openai", "litellm"],
        Doc("What runs the model; tei and openai need its url."),
    ] = "sentence_transformers"
    trained_tokens: Annotated[
        Annotated[int, Ge(8)] | None, Doc("Longest text in tokens that it was trained on; null: not known.")
    ] = None
    pooling: Annotated[
        Literal["mean", "cls", "last"] | None,
        Doc("How the vectors of tokens become one; its files must do so too. null: as they say."),
    ] = None
    normalises: Annotated[
        bool | None, Doc("Whether the model gives unit vectors by itself; they are always made so. null: not known.")
    ] = None
    query_prompt: Annotated[str, Doc("Text before every query; `{task}` in it stands for `task`.")] = ""
    document_prompt: Annotated[str, Doc("Text before every document; `{task}` in it stands for `task`.")] = ""
    query_prompt_name: Annotated[str | None, Doc("The model's own prompt to take for queries instead.")] = None
    document_prompt_name: Annotated[str | None, Doc("The model's own prompt to take for documents instead.")] = None
    task: Annotated[str | None, Doc("Description of the task in the prompts; an instruct embedder may set it.")] = None
    truncate_dimensions: Annotated[
        Annotated[int, Ge(2)] | None, Doc("Dimensions that vectors are cut to; null: all.")
    ] = None
    matryoshka: Annotated[
        list[int], Doc("Dimensions that its vectors were trained to be cut to, from the least; empty: not known.")
    ] = field(default_factory=list)
    query_input_type: Annotated[str | None, Doc("Name by which its service knows queries; null: not sent.")] = None
    document_input_type: Annotated[str | None, Doc("Name by which its service knows documents; null: not sent.")] = None
    most_texts: Annotated[
        Annotated[int, Ge(1)] | None, Doc("Most texts of a request to its service; null: the usual number.")
    ] = None
    usd_per_million_tokens: Annotated[
        Annotated[float, Ge(0)] | None, Doc("Price of its service; null: not known, counted as 0 and said.")
    ] = None
    golden: Annotated[
        dict[str, str], Doc("Vectors that it must give for a fixed text, as query and as document (golden_vectors.py).")
    ] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """Name of the model in messages."""
        return f"embedder {self.id}"

    @property
    def served(self) -> bool:
        """True where a server runs it."""
        return self.backend != "sentence_transformers"

    @property
    def lacks_address(self) -> bool:
        """True where its server is not named; the services of LiteLLM are known by their maker's name."""
        return self.backend in ("tei", "openai") and self.url is None

    @property
    def vector_dimensions(self) -> int:
        """Dimensions of its vectors after the cut."""
        return self.truncate_dimensions or self.dimensions

    @property
    def takes_task(self) -> bool:
        """True where its prompts name a task."""
        return TASK in self.query_prompt + self.document_prompt


EmbedderCards = CardLibrary[EmbedderCard]


def infer(name: str) -> EmbedderCard:
    """Return the card of a model that has none, from its own files. Raises BadInput where they are not to be had."""
    return EmbedderCard(**infer_facts(name), verified=False)


def embedder_card_library(conf_folders: Sequence[Path]) -> EmbedderCards:
    """Return the cards in the `embedder/` folders of the config folders in use."""
    return CardLibrary(EmbedderCard, "embedder.model.name", library_folders(conf_folders, "embedder"), infer=infer)


def with_dimensions(card: EmbedderCard, dimensions: int | None) -> EmbedderCard:
    """Return the card cut to so many dimensions. Raises ImpossiblePipeline where they are more than it has."""
    if dimensions is not None and dimensions > card.dimensions:
        raise ImpossiblePipeline(f"{card.id} has {card.dimensions} dimensions, not {dimensions}")
    kept = card.truncate_dimensions if dimensions is None else dimensions if dimensions < card.dimensions else None
    return dataclasses.replace(card, truncate_dimensions=kept)
