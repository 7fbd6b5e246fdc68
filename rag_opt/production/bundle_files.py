"""The files of a bundle: a folder that holds everything a pipeline answers with.

spec.json          the pipeline
documents.jsonl    the documents whose text it returns
chunks/            the chunk table
index/<name>/      the indexes that its retriever searches
card.json          the embedding model, where there is one: where its files are, or which revision of which id
model/ tokenizer/  the embedding model itself, where it was made here and is no download
budget_tokenizer/  the tokenizer that contexts are counted with, where it is a file
cards/             the card of a reranking model
llm.json           the language model that it asks, by address; never its key
prompt/            the prompt of a generator that has one
manifest.json      every file with its size and hash; what it was measured at, on which versions
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import orjson
import yaml

from rag_opt import __version__
from rag_opt.core import strict
from rag_opt.core.digests import versions
from rag_opt.core.documents import Corpus, build_document
from rag_opt.core.errors import BadBundle, BadInput
from rag_opt.core.registry import load_parts
from rag_opt.core.strict import PlainDict, PlainMapping
from rag_opt.data.document_file import collect_documents
from rag_opt.models.cards import ModelCard
from rag_opt.models.embedder_cards import EmbedderCard, embedder_card_library
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.prompts import Prompt, prompt_library
from rag_opt.models.llm.settings import LanguageModel
from rag_opt.models.no_encoder import NoEncoder
from rag_opt.models.reranker_cards import RerankerCard, reranker_card_library
from rag_opt.models.reranker_resources import PairScorer
from rag_opt.models.runtimes import Machine
from rag_opt.parts.interfaces import EmbedderPart, LLMGenerator, OpenIndex, PairReranker, WithoutVectors
from rag_opt.pipeline.ask import Pipeline
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.chunk_table import ChunkTable
from rag_opt.pipeline.chunk_vectors import open_index
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.pipeline.resources import build_reranker_resources, index_parts
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.pipeline.stage_timer import StageTimer
from rag_opt.production.bundle import Bundle
from rag_opt.store.artifacts import MANIFEST, find_damage, write_manifest
from rag_opt.store.values import MemoryValues, Values
from rag_opt.text.tokenizer_names import TOKENIZERS, find_tokenizer
from rag_opt.text.tokens import FileTokenizer

_MODEL, _TOKENIZER, _CARDS, _LLM, _PROMPT = "model", "tokenizer", "cards", "llm.json", "prompt"
_BUDGET_TOKENIZER = "budget_tokenizer"
FORMAT = 1
_LIBRARIES = ("chromadb", "bm25s", "sentence-transformers", "transformers", "torch", "tokenizers")

Card = TypeVar("Card", bound=ModelCard)


def write_bundle(folder: Path, builder: PipelineBuilder, spec: PipelineSpec, facts: PlainMapping) -> None:
    """Write the pipeline into an empty or new folder. `facts` go into the manifest as they are.

    Raises BadBundle for a folder that holds something.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BadBundle(f"{folder} is not empty; a bundle is written into a new or empty folder")
    encoder = builder.encoder(spec.embedder)
    _write_json(folder / "spec.json", spec.to_dict())
    if spec.embedding_model is not None:
        _write_json(folder / "card.json", strict.dump(_write_model(encoder, folder)))
    _write_budget_tokenizer(folder, spec.packer.tokenizer)
    if isinstance(spec.reranker, PairReranker):
        _write_reranker_card(folder, builder, spec.reranker)
    if builder.llm_client is not None and spec.uses_llm:
        _write_json(folder / _LLM, strict.dump(builder.llm_client.settings))
    if isinstance(spec.generator, LLMGenerator):
        _write_prompt(folder, spec.generator.prompt, builder.prompts.read(spec.generator.prompt))
    with (folder / "documents.jsonl").open("wb") as file:
        for d in builder.readings.corpus(spec.reader).documents:
            blocks, pages = d.structure
            line: PlainDict = {"id": d.id, "text": d.text, "title": d.title, "metadata": dict(d.metadata)}
            line |= {"blocks": blocks, "pages": pages}
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    for name, source in builder.folders(spec).items():
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(MANIFEST))
    plugins = sorted({type(part).__module__.partition(".")[0] for _, part in spec.parts()} - {"rag_opt"})
    manifest = {
        "format": FORMAT,
        "versions": {"rag_opt": __version__, **versions(*_LIBRARIES)},
        **facts,
        "plugins": plugins,
        "model_files": encoder.files_digest,
        "language": builder.corpus.language,
        "carries_model": encoder.made_here,
    }
    write_manifest(folder, manifest)


def _write_budget_tokenizer(folder: Path, name: str) -> None:
    """Copy the tokenizer that contexts are counted with, where a file of this machine names it."""
    tokenizer = find_tokenizer(name)
    if isinstance(tokenizer, FileTokenizer) and name not in TOKENIZERS:
        (folder / _BUDGET_TOKENIZER).mkdir()
        shutil.copy(tokenizer.file, folder / _BUDGET_TOKENIZER / "tokenizer.json")


def _write_json(path: Path, content: object) -> None:
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def _write_yaml(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


def _write_model(encoder: Encoder, folder: Path) -> EmbedderCard:
    """Return the card as a bundle keeps it; a model that was made here travels with it."""
    if not encoder.made_here:
        return _with_whole_path(encoder.card)
    shutil.copytree(encoder.folder, folder / _MODEL, ignore=shutil.ignore_patterns(MANIFEST))
    tokenizer = folder / _TOKENIZER
    tokenizer.mkdir()
    shutil.copy(encoder.card.tokenizer_file, tokenizer / "tokenizer.json")
    return dataclasses.replace(encoder.card, path=_MODEL, tokenizer=_TOKENIZER, revision=None)


def _with_whole_path(card: Card) -> Card:
    """Return the card with its folder as it is found from anywhere."""
    if card.path is None or card.path.startswith("package:"):
        return card
    return dataclasses.replace(card, path=str(Path(card.path).resolve()))


def _write_reranker_card(folder: Path, builder: PipelineBuilder, part: PairReranker) -> None:
    """Write the card of the reranker's model, in a folder of cards."""
    card = _with_whole_path(part.find_card(builder.rerankers, builder.cards))
    group = "reranker" if isinstance(card, RerankerCard) else "embedder"
    _write_yaml(folder / _CARDS / group / f"{part.name.replace('/', '--')}.yaml", strict.dump(card))


def _write_prompt(folder: Path, name: str, prompt: Prompt) -> None:
    _write_yaml(folder / _PROMPT / f"{name}.yaml", strict.dump(prompt))


def load_bundle(
    path: str | Path,
    *,
    check: bool = True,
    plugins: Sequence[str] = (),
    allow_code: Sequence[str] = (),
    completions: Values | None = None,
) -> Bundle:
    """Open a bundle made by `python -m rag_opt.export`; `.ask("…")` answers from it.

    `check` compares every file with the manifest, and refuses one that it does not list. `plugins`: packages that may
    be imported for its parts, and `allow_code`: models whose custom code may run here, as `id@revision`; a bundle
    cannot allow either itself. `completions`: where a language model's answers are kept, instead of with everything
    else in memory. Raises BadBundle when it is not one, or a file is missing, changed, unknown or cannot be read.
    """
    folder = Path(path)
    manifest = _read_manifest(folder, check=check)
    _load_plugins(folder, manifest, plugins)
    with _blaming(folder, "spec.json") as inside:
        spec = PipelineSpec.from_dict(orjson.loads(inside.read_bytes()), where="spec.json")
    with _blaming(folder, "chunks") as inside:
        chunks = ChunkTable.load(inside)
    values, machine = MemoryValues(), Machine(allow_code=tuple(allow_code))
    encoder = _open_encoder(folder, spec.embedder, values, manifest, machine)
    if check and encoder.files_digest != manifest["model_files"]:
        place = f"model in {encoder.card.folder}" if spec.embedding_model is not None else "tokenizer"
        raise BadBundle(f"{folder}: the {place} is not the one that its index was made with")
    corpus = _read_corpus(folder, str(manifest.get("language", "")))
    parts, indexes = index_parts(spec, corpus.language), dict[str, OpenIndex]()

    def open_once(name: str) -> OpenIndex:
        if name not in indexes:
            indexes[name] = open_index(parts[name], folder / "index" / name)
        return indexes[name]

    pipeline = Pipeline(
        spec=spec,
        texts=CorpusText(corpus, _find_budget_tokenizer(folder, spec), repeats_headers=spec.chunker.repeats_headers),
        chunks=chunks,
        encoder=encoder,
        values=values,
        index_keys={name: f"bundle {name}" for name in parts},
        index_parts=parts,
        open_index=open_once,
        scorer=_scorers(folder, values, encoder, machine),
        llm_client=_open_client(folder, completions or values),
        prompt=prompt_library([folder]).read,
        stage_timer=StageTimer(),
    )
    return Bundle(pipeline, manifest)


def _read_manifest(folder: Path, *, check: bool) -> PlainDict:
    if not (folder / MANIFEST).is_file():
        raise BadBundle(f"{folder} is not a bundle: there is no {MANIFEST}")
    damage = find_damage(folder) if check else ""
    if damage:
        raise BadBundle(f"{folder}: {damage}")
    with _blaming(folder, MANIFEST) as path:
        manifest: PlainDict = orjson.loads(path.read_bytes())
        if manifest["format"] != FORMAT or not isinstance(manifest["model_files"], str):
            raise ValueError(f"format {manifest['format']!r}, where this version reads {FORMAT}")
    return manifest


def _load_plugins(folder: Path, manifest: PlainMapping, allowed: Sequence[str]) -> None:
    """Import the packages that the bundle's parts come from, if all of them are allowed."""
    named = manifest.get("plugins", ())
    names = [str(name) for name in (named if isinstance(named, list) else [named])]
    refused = [name for name in names if not any(one == name or one.startswith(f"{name}.") for one in allowed)]
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
    with _blaming(folder, "documents.jsonl") as path, path.open("rb") as lines:
        return Corpus(
            collect_documents((build_document(**orjson.loads(line)) for line in lines), by_id=False), language
        )


def _find_budget_tokenizer(folder: Path, spec: PipelineSpec) -> str:
    own = folder / _BUDGET_TOKENIZER
    return str(own) if own.is_dir() else spec.packer.tokenizer


def _open_encoder(
    folder: Path, part: EmbedderPart, values: MemoryValues, manifest: PlainMapping, machine: Machine
) -> Encoder:
    if isinstance(part, WithoutVectors):
        return NoEncoder(part.tokenizer)
    with _blaming(folder, "card.json") as path:
        card = strict.load(EmbedderCard, orjson.loads(path.read_bytes()), path="card.json")
    if not manifest.get("carries_model"):
        return Encoder(card, values=values, machine=machine)
    inside = dataclasses.replace(card, path=str(folder / _MODEL), tokenizer=str(folder / _TOKENIZER))
    return Encoder(inside, values=values, folder=lambda: folder / _MODEL, identity=manifest["model_files"])


def _scorers(
    folder: Path, values: MemoryValues, encoder: Encoder, machine: Machine
) -> Callable[[PairReranker], PairScorer]:
    """Return what gives a reranker's model, of the cards that the bundle holds."""
    cards = folder / _CARDS
    rerankers, embedders = reranker_card_library([cards]), embedder_card_library([cards])

    @functools.cache
    def encoder_of(name: str) -> Encoder:
        card = embedders.read(name)
        return encoder if encoder.card == card else Encoder(card, values=values, machine=machine)

    resources = build_reranker_resources(encoder_of, rerankers, values, machine)
    scorers: dict[PairReranker, PairScorer] = {}

    def scorer(part: PairReranker) -> PairScorer:
        if part not in scorers:
            scorers[part] = part.scorer(resources)
        return scorers[part]

    return scorer


def _open_client(folder: Path, values: Values) -> LLMClient | None:
    if not (folder / _LLM).exists():
        return None
    with _blaming(folder, _LLM) as path:
        return LLMClient(strict.load(LanguageModel, orjson.loads(path.read_bytes()), path=_LLM), values)
