"""Cards of reranking models (`conf/reranker/*.yaml`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary, ModelCard, library_folders, read_json, reads_tokens


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RerankerCard(ModelCard):
    """`architecture`: a cross-encoder reads question and text together and gives one number; a ColBERT model gives a
    vector for each token of either.
    """

    architecture: Literal["cross_encoder", "colbert"] = "cross_encoder"

    @property
    def where(self) -> str:
        return f"reranker {self.id}"


def infer(name: str) -> RerankerCard:
    """The card of a model that has none, from its own files. Raises BadInput where they are not to be had."""
    local = Path(name).is_dir()
    place: dict[str, Any] = {"id": Path(name).resolve().name, "path": name} if local else {"id": name}
    folder = ModelCard(reads_tokens=8, **place).folder
    code = "auto_map" in read_json(folder / "config.json")
    return RerankerCard(
        reads_tokens=reads_tokens(folder), custom_code=code, source="its own files", verified=False, **place
    )


def reranker_card_library(conf_folders: Sequence[Path]) -> CardLibrary[RerankerCard]:
    """The `reranker/` folders of the config folders in use."""
    return CardLibrary(RerankerCard, "reranker.name", library_folders(conf_folders, "reranker"), infer=infer)
