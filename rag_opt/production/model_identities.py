"""Which models a pipeline uses: for the manifest, the licences, and copies of their files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from rag_opt.core.digests import file_digest
from rag_opt.core.errors import BadBundle
from rag_opt.models.cards import LEFT_OUT, ModelCard
from rag_opt.parts.interfaces import ModelIndex, PairReranker
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.resources import find_index_parts
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.manifest import ModelIdentity


def find_model_cards(builder: PipelineBuilder, spec: PipelineSpec) -> dict[str, ModelCard]:
    """Return the cards of a pipeline's models by their role: `embedder`, `reranker`, `index`."""
    cards: dict[str, ModelCard] = {}
    if spec.embedding_model is not None:
        cards["embedder"] = builder.encoder(spec.embedder).card
    if isinstance(spec.reranker, PairReranker):
        cards["reranker"] = spec.reranker.find_card(builder.rerankers, builder.cards)
    for index in find_index_parts(spec).values():
        if isinstance(index, ModelIndex):
            cards["index"] = index.find_card(builder.rerankers, builder.cards)
    return cards


def identify_models(builder: PipelineBuilder, spec: PipelineSpec) -> list[ModelIdentity]:
    """Return the identity of every model that a pipeline uses."""
    found = [identify_model(role, card) for role, card in find_model_cards(builder, spec).items()]
    if spec.uses_llm and builder.llm_client is not None:
        asked = builder.llm_client.settings
        revision = None if asked.revision is None else str(asked.revision)
        named = asked.model or ""
        found.append(ModelIdentity(role="language model", id=named, revision=revision, url=asked.base_url))
    return found


def identify_model(role: str, card: ModelCard) -> ModelIdentity:
    """Return the identity of the model of a card, each of its files hashed where it runs here."""
    files = {} if card.served else {name: file_digest(card.folder / name) for name in model_files(card.folder)}
    return ModelIdentity(
        role=role,
        id=card.id,
        revision=card.revision,
        url=card.url,
        path=card.path if card.path is None or card.path.startswith("package:") else Path(card.path).name,
        licence=card.licence,
        commercial_use=card.commercial_use,
        parameters_millions=card.parameters_millions,
        files=files,
    )


def model_files(folder: Path) -> list[str]:
    """Return the names of a model's files, those of forms that are never loaded left out."""
    names = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file())
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in (*LEFT_OUT, ".*", "*__pycache__*"))]


def copy_model(card: ModelCard, folder: Path) -> None:
    """Copy the files of a card's model into a new folder, and its tokenizer where it stands elsewhere.

    Raises BadBundle for a model that a server runs: its weights are not here.
    """
    if card.served:
        raise BadBundle(f"{card.where} runs at {card.url}: its weights are not here to be copied (--with-weights)")
    for name in model_files(card.folder):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((card.folder / name).read_bytes())
    if card.tokenizer is not None:
        (folder / "tokenizer.json").write_bytes(card.tokenizer_file.read_bytes())


def refuse_non_commercial(models: Sequence[ModelIdentity]) -> None:
    """Raise BadBundle where the licence of a model does not allow commercial use."""
    for model in models:
        if not model.commercial_use:
            licence = model.licence or "its licence"
            raise BadBundle(
                f"{model.role} {model.id}: {licence} does not allow commercial use; export it with "
                "--allow-non-commercial if that is what you want"
            )


def without_paths(models: Sequence[ModelIdentity]) -> list[ModelIdentity]:
    """Return the identities as a bundle with copies has them: their files are inside."""
    return [dataclasses.replace(model, path=None) if model.files else model for model in models]
