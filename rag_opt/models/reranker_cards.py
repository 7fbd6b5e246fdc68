"""Cards of reranking models (`conf/reranker/*.yaml`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary, ModelCard, find_reads_tokens, identify, library_folders, read_json


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RerankerCard(ModelCard):
    """Settings of a reranking model.

    A cross-encoder reads question and text together and gives one number; a ColBERT model gives a vector for each token
    of either.
    """

    architecture: Annotated[Literal["cross_encoder", "colbert"], Doc("How it compares question and text.")] = (
        "cross_encoder"
    )

    @property
    def where(self) -> str:
        """Name of the model in messages."""
        return f"reranker {self.id}"


def infer(name: str) -> RerankerCard:
    """Return the card of a model that has none, from its own files. Raises BadInput where they are not to be had."""
    identity, folder = identify(name)
    code = "auto_map" in read_json(folder / "config.json")
    return RerankerCard(
        reads_tokens=find_reads_tokens(folder), custom_code=code, source="its own files", verified=False, **identity
    )


def reranker_card_library(conf_folders: Sequence[Path]) -> CardLibrary[RerankerCard]:
    """Return the cards in the `reranker/` folders of the config folders in use."""
    return CardLibrary(RerankerCard, "reranker.name", library_folders(conf_folders, "reranker"), infer=infer)
