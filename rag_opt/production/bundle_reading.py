"""Opening a bundle: nothing in it is imported or run, and every file is held against the manifest."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import orjson

from rag_opt.core import strict
from rag_opt.core.documents import Corpus, build_document
from rag_opt.core.errors import BadBundle, BadInput
from rag_opt.core.registry import load_parts
from rag_opt.data.document_file import collect_documents
from rag_opt.models.cards import CardLibrary, ModelCard, rename_former_settings
from rag_opt.models.embedder_cards import EmbedderCard, EmbedderCards, embedder_card_library
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.budget import BudgetTracker
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.prompts import prompt_library
from rag_opt.models.llm.settings import LanguageModel
from rag_opt.models.no_encoder import NoEncoder
from rag_opt.models.reranker_cards import RerankerCard, reranker_card_library
from rag_opt.models.reranker_resources import PairScorer, RerankerResources
from rag_opt.models.runtimes import Machine, files_digest
from rag_opt.parts.interfaces import BoundIndex, EmbedderPart, PairReranker, WithoutVectors
from rag_opt.parts.open_indexes import OpenIndex
from rag_opt.pipeline.ask import Pipeline
from rag_opt.pipeline.chunk_table import ChunkTable
from rag_opt.pipeline.chunk_vectors import open_index, with_projection
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.pipeline.resources import build_reranker_resources, index_parts
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.pipeline.stage_timer import StageTimer
from rag_opt.pipeline.text_maps import TextMaps
from rag_opt.production.bundle import Bundle
from rag_opt.production.bundle_layout import (
    BUDGET_TOKENIZER,
    CARD,
    CARDS,
    CHUNKS,
    DOCUMENTS,
    INDEX,
    LLM,
    MODEL,
    MODEL_FILES,
    SENTENCES,
    SPEC,
    TEXT_MAPS,
    TOKENIZER,
)
from rag_opt.production.manifest import Manifest, read_manifest
from rag_opt.production.sentence_vectors import open_values
from rag_opt.production.signing import verify_signature
from rag_opt.production.stored_questions import load_questions
from rag_opt.production.vector_stores.addresses import read_address
from rag_opt.production.vector_stores.collection_index import CollectionIndex
from rag_opt.production.vector_stores.opening import open_collection
from rag_opt.store.artifacts import MANIFEST
from rag_opt.store.values import MemoryValues, Values

QUESTIONS_AT_ONCE = 32  # that an index is asked together
CACHE_BYTES = 32_000_000

Card = TypeVar("Card", bound=ModelCard)


def load_bundle(
    path: str | Path,
    *,
    check: bool = True,
    verify: str | Path | None = None,
    plugins: Sequence[str] = (),
    allow_code: Sequence[str] = (),
    completions: Values | None = None,
    cache_bytes: int = CACHE_BYTES,
    embedder_url: str | None = None,
    collection: str | Callable[[Bundle], CollectionIndex] | None = None,
) -> Bundle:
    """Open a bundle made by `python -m rag_opt.export`; `.ask("…")` answers from it.

    `check` compares every file with the manifest, and refuses one that it does not list. `verify`: a file with the
    public Ed25519 key whose signature it must have. `plugins`: packages that may be imported for its parts, and
    `allow_code`: models whose custom code may run here, as `id@revision`; a bundle cannot allow either itself.
    `completions`: where a language model's answers are kept, instead of with everything else in memory.
    `cache_bytes`: most bytes of what is remembered of earlier questions. `embedder_url`: a server that runs its
    embedding model instead of this process (text-embeddings-inference; one in OpenAI's form where the address ends in
    `/v1`); whether it answers as the search saw, `find_differences` tells. `collection`: address of a collection that
    was filled from it (`qdrant=http://…`, as for `export --push`), or what opens it; searched instead of its own
    vectors. Raises BadBundle when it is not one, or a file is missing, changed, unknown or cannot be read, or is not
    signed as asked, or where the collection was filled from another bundle; ServerFailed where its store does not
    answer.
    """
    folder = Path(path)
    if verify is not None:
        verify_signature(folder, Path(verify))
    manifest = read_manifest(folder, check=check)
    _load_plugins(folder, manifest, plugins)
    with _blaming(folder, SPEC) as inside:
        spec = PipelineSpec.from_dict(orjson.loads(inside.read_bytes()), where=SPEC)
    with _blaming(folder, CHUNKS) as inside:
        chunks = ChunkTable.load(inside)
    with _blaming(folder, "seen.jsonl"):
        questions = load_questions(folder)
    machine = Machine(allow_code=tuple(allow_code))
    with _blaming(folder, SENTENCES) as inside:
        values = open_values(inside, MemoryValues(cache_bytes))
    encoder = _open_encoder(folder, spec.embedder, values, manifest, machine, embedder_url)
    if check and embedder_url is None and encoder.files_digest != manifest.model_files:
        place = f"model in {encoder.card.folder}" if spec.embedding_model is not None else "tokenizer"
        raise BadBundle(f"{folder}: the {place} is not the one that its index was made with")
    corpus = _read_corpus(folder, manifest.language)
    resources = _open_resources(folder, values, encoder, machine, manifest)
    parts = index_parts(spec, corpus.language, lambda part: part.bind(resources))
    for name, part in parts.items():
        made_with = folder / INDEX / name / MODEL_FILES
        if not check or not isinstance(part, BoundIndex) or not made_with.exists():
            continue
        if made_with.read_text(encoding="utf-8") != files_digest(part.card.folder, values):
            raise BadBundle(f"{folder}: {part.card.where} is not the one that its index {name} was made with")
    indexes: dict[str, OpenIndex] = {}

    def open_once(name: str) -> OpenIndex:
        if name not in indexes:
            indexes[name] = open_index(parts[name], folder / INDEX / name)
        return indexes[name]

    with _blaming(folder, TEXT_MAPS) as inside:
        maps = TextMaps.load(inside)
    budget, repeats = _find_budget_tokenizer(folder, spec), spec.chunker.repeats_headers
    pipeline = Pipeline(
        spec=spec,
        texts=CorpusText(corpus, budget, repeats_headers=repeats, maps=maps),
        chunks=chunks,
        encoder=encoder,
        values=values,
        index_keys={name: f"bundle {name}" for name in parts},
        index_parts=parts,
        open_index=open_once,
        scorer=_scorers(resources),
        llm_client=_open_client(folder, completions or values),
        prompt=prompt_library([folder]).read,
        stage_timer=StageTimer(),
        at_once=QUESTIONS_AT_ONCE,
    )
    bundle = Bundle(pipeline, manifest, questions)
    if collection is not None:
        if isinstance(collection, str):
            bundle.collection = open_collection(bundle, read_address(collection, where="collection"))
        else:
            bundle.collection = collection(bundle)
        indexes["dense"] = with_projection(bundle.collection, folder / INDEX / "dense")
    return bundle


def _load_plugins(folder: Path, manifest: Manifest, allowed: Sequence[str]) -> None:
    """Import the packages that the bundle's parts come from, if all of them are allowed."""
    refused = [
        name for name in manifest.plugins if not any(one == name or one.startswith(f"{name}.") for one in allowed)
    ]
    if refused:
        together = [*allowed, *refused]
        raise BadBundle(
            f"{folder}: {MANIFEST} names the plugin {refused[0]!r}, which would be imported and run; if you trust it, "
            f"load({str(folder)!r}, plugins={together!r})"
        )
    load_parts(allowed)


@contextlib.contextmanager
def _blaming(folder: Path, name: str) -> Iterator[Path]:
    """Give the path of a file or folder of a bundle; whatever is wrong with it is BadBundle with its name."""
    try:
        yield folder / name
    except (OSError, ValueError, KeyError, TypeError, BadInput) as error:
        raise BadBundle(f"{folder}: {name} cannot be read: {error}") from error


def _read_corpus(folder: Path, language: str) -> Corpus:
    with _blaming(folder, DOCUMENTS) as path, path.open("rb") as lines:
        return Corpus(
            collect_documents((build_document(**orjson.loads(line)) for line in lines), by_id=False), language
        )


def _find_budget_tokenizer(folder: Path, spec: PipelineSpec) -> str:
    own = folder / BUDGET_TOKENIZER
    return str(own) if own.is_dir() else spec.packer.tokenizer


def _open_encoder(
    folder: Path, part: EmbedderPart, values: Values, manifest: Manifest, machine: Machine, url: str | None
) -> Encoder:
    if isinstance(part, WithoutVectors):
        return NoEncoder(part.tokenizer)
    inside = read_card(folder)
    if url is not None:
        backend: Literal["tei", "openai"] = "openai" if url.rstrip("/").endswith("/v1") else "tei"
        elsewhere = dataclasses.replace(inside, backend=backend, url=url.rstrip("/"))
        return Encoder(elsewhere, values=values, machine=machine)
    if not manifest.carries_model:
        return Encoder(inside, values=values, machine=machine)
    inside = dataclasses.replace(inside, tokenizer=str(folder / TOKENIZER))
    return Encoder(inside, values=values, folder=lambda: folder / MODEL, identity=manifest.model_files)


def read_card(folder: Path) -> EmbedderCard:
    """Return the card of a bundle's embedding model; one that travels with it by its place in the folder."""
    with _blaming(folder, CARD) as path:
        card = strict.load(EmbedderCard, rename_former_settings(orjson.loads(path.read_bytes())), path=CARD)
    return dataclasses.replace(card, path=str(folder / MODEL)) if card.path == MODEL else card


def read_rerankers(folder: Path, manifest: Manifest) -> CardLibrary[RerankerCard]:
    """Return the cards of a bundle's reranking models."""
    library = reranker_card_library([folder / CARDS])
    return _inside(library, folder) if manifest.carries_weights else library


def read_embedders(folder: Path, manifest: Manifest, *more: Path) -> EmbedderCards:
    """Return the cards of embedding models that a bundle's reranker or index names, and those of `more` folders."""
    library = embedder_card_library([folder / CARDS, *more])
    return (
        _inside(library, folder, only=embedder_card_library([folder / CARDS])) if manifest.carries_weights else library
    )


def read_language_model(folder: Path) -> LanguageModel | None:
    """Return the settings of the language model that a bundle asks; None where it asks none."""
    if not (folder / LLM).exists():
        return None
    with _blaming(folder, LLM) as path:
        return strict.load(LanguageModel, orjson.loads(path.read_bytes()), path=LLM)


def _open_resources(
    folder: Path, values: Values, encoder: Encoder, machine: Machine, manifest: Manifest
) -> RerankerResources:
    """Return what rerankers and indexes with models of their own are handed: the cards that the bundle holds."""
    rerankers, embedders = read_rerankers(folder, manifest), read_embedders(folder, manifest)

    @functools.cache
    def encoder_of(name: str) -> Encoder:
        card = embedders.read(name)
        return encoder if encoder.card == card else Encoder(card, values=values, machine=machine)

    return build_reranker_resources(encoder_of, rerankers, values, machine, BudgetTracker(), embedders=embedders)


def _scorers(resources: RerankerResources) -> Callable[[PairReranker], PairScorer]:
    """Return what gives a reranker's model, of the cards that the bundle holds."""
    scorers: dict[PairReranker, PairScorer] = {}

    def scorer(part: PairReranker) -> PairScorer:
        if part not in scorers:
            scorers[part] = part.scorer(resources)
        return scorers[part]

    return scorer


def _inside(library: CardLibrary[Card], folder: Path, *, only: CardLibrary[Card] | None = None) -> CardLibrary[Card]:
    """Return the cards of models whose copies a bundle holds, by their places in it; `only`: of these cards."""
    places = {name: library.read(name).path for name in (only or library).names()}
    return library.with_changes({name: {"path": str(folder / place)} for name, place in places.items() if place})


def _open_client(folder: Path, values: Values) -> LLMClient | None:
    model = read_language_model(folder)
    return None if model is None else LLMClient(model, values)
