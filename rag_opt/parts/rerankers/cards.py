"""Cards of reranking models (`conf/reranker/*.yaml`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.parts.models.cards import ModelCard, Shelf, shelf_folders

_USUAL_TOKENS = 512


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
    path = folder / "config.json"
    config = orjson.loads(path.read_bytes()) if path.is_file() else {}
    positions = int(config.get("max_position_embeddings") or _USUAL_TOKENS)
    offset = int(config.get("pad_token_id") or 0) + 1 if "roberta" in str(config.get("model_type", "")) else 0
    code = "auto_map" in config
    return RerankerCard(
        reads_tokens=positions - offset, custom_code=code, source="its own files", verified=False, **place
    )


def reranker_shelf(conf_folders: Sequence[Path]) -> Shelf[RerankerCard]:
    """The `reranker/` folders of the config folders in use."""
    return Shelf(RerankerCard, "reranker.name", shelf_folders(conf_folders, "reranker"), infer=infer)
