"""Writing a bundle: a folder that holds everything a pipeline answers with.

spec.json          the pipeline
documents.jsonl    the documents whose text it returns, with their blocks
chunks/            the chunk table
index/<name>/      the indexes that its retriever searches
text_maps/         where tokens and sentences stand in the documents
sentences/         vectors of the sentences that an answer is chosen from
questions.jsonl    the questions of the study; seen.jsonl: what the pipeline returned for them
card.json          the embedding model, where there is one: where its files are, or which revision of which id
model/ tokenizer/  the embedding model itself, where it was made here, or copies were asked for
budget_tokenizer/  the tokenizer that contexts are counted with, where it is a file
cards/ reranker/   the card of a reranking model, and its copy
llm.json           the language model that it asks, by address; never its key
prompt/            the prompt of a generator that has one
README.md          the model card, for people
requirements.txt   exact versions of what serving imports
manifest.json      every file with its size and hash; what it was measured at, on which versions
manifest.sig       a signature over manifest.json, where one was asked for
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import orjson
import yaml

from rag_opt import __version__
from rag_opt.core import strict
from rag_opt.core.digests import versions
from rag_opt.core.documents import Corpus
from rag_opt.core.errors import BadBundle
from rag_opt.core.strict import PlainDict
from rag_opt.models.cards import ModelCard
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.prompts import Prompt
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.runtimes import files_digest
from rag_opt.parts.interfaces import BoundIndex, ExtractiveGenerator, LLMGenerator, ModelIndex, PairReranker
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.chunk_vectors import PROJECTION
from rag_opt.pipeline.resources import find_index_parts
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.pipeline.spec_yaml import WINNER, to_yaml
from rag_opt.production.bundle_layout import (
    BUDGET_TOKENIZER,
    CARD,
    CARDS,
    CHUNKS,
    DOCUMENTS,
    INDEX,
    INDEX_MODEL,
    LLM,
    MODEL,
    MODEL_FILES,
    PROMPT,
    RERANKER,
    SENTENCES,
    SPEC,
    TEXT_MAPS,
    TOKENIZER,
)
from rag_opt.production.manifest import FORMAT, Manifest
from rag_opt.production.model_card import write_model_card
from rag_opt.production.model_identities import copy_model, identify_models, refuse_non_commercial, without_paths
from rag_opt.production.sentence_vectors import build_text_maps, write_sentence_vectors
from rag_opt.production.stored_questions import StoredQuestion, save_questions
from rag_opt.store.artifacts import MANIFEST, write_manifest
from rag_opt.text.markdown_blocks import blocks_of
from rag_opt.text.tokenizer_names import TOKENIZERS, find_tokenizer
from rag_opt.text.tokens import FileTokenizer

LIBRARIES = ("chromadb", "bm25s", "sentence-transformers", "transformers", "torch", "tokenizers")

Card = TypeVar("Card", bound=ModelCard)


@dataclass(frozen=True, kw_only=True)
class BundleFacts:
    """What a bundle holds beside its pipeline.

    `scores`, `dataset`: as in the manifest. `requires_filter`: filters that every question must have. `weights`: copies
    of the models' files; `sentence_vectors`: False leaves them out; `non_commercial`: models without a commercial
    licence may be in it.
    """

    study: str = ""
    trial: int | None = None
    dataset: PlainDict = field(default_factory=dict)
    origins: Sequence[str] = ()
    scores: PlainDict = field(default_factory=dict)
    questions: Sequence[StoredQuestion] = ()
    requires_filter: Sequence[str] = ()
    weights: bool = False
    sentence_vectors: bool = True
    non_commercial: bool = False
    made_from: PlainDict = field(default_factory=dict)


def write_bundle(
    folder: Path,
    builder: PipelineBuilder,
    spec: PipelineSpec,
    facts: BundleFacts,
    *,
    finish: Callable[[Path], None] = lambda _: None,
) -> None:
    """Write the pipeline into an empty or new folder.

    `finish` may add files to it: it is called with the folder, which has a manifest already and is a bundle, and the
    manifest is written again. Raises BadBundle for a folder that holds something, for a model whose licence does not
    allow commercial use, and for a required filter that no document has.
    """
    models = identify_models(builder, spec)
    if not facts.non_commercial:
        refuse_non_commercial(models)
    corpus = builder.readings.corpus(spec.reader)
    _refuse_unknown_filters(facts.requires_filter, corpus)
    refuse_occupied(folder)
    folder.mkdir(parents=True, exist_ok=True)
    encoder = builder.encoder(spec.embedder)
    _write_json(folder / SPEC, spec.to_dict())
    _write_models(folder, builder, spec, facts)
    _write_documents(folder, corpus)
    _write_indexes(folder, builder, spec)
    shipped = _write_texts(folder, builder, spec, facts)
    save_questions(folder, facts.questions)
    plugins = sorted({type(part).__module__.partition(".")[0] for _, part in spec.parts()} - {"rag_opt"})
    manifest = Manifest(
        format=FORMAT,
        versions={"rag_opt": __version__, **versions(*LIBRARIES)},
        study=facts.study,
        trial=facts.trial,
        dataset=facts.dataset,
        questions=list(facts.origins),
        scores=facts.scores,
        models=without_paths(models) if facts.weights else models,
        plugins=plugins,
        model_files=encoder.files_digest,
        language=builder.corpus.language,
        carries_model=encoder.made_here,
        carries_weights=facts.weights,
        sentence_vectors=shipped,
        requires_filter=list(facts.requires_filter),
        made_from=facts.made_from,
        files={},
    )
    (folder / WINNER).write_text(to_yaml(spec, about=_WINNER_IS.format(study=facts.study or "no study")), "utf-8")
    write_model_card(folder, spec, manifest)
    write_manifest(folder, strict.dump(manifest))
    finish(folder)
    write_manifest(folder, strict.dump(manifest))


_WINNER_IS = """The pipeline of this bundle ({study}), every setting by its name.
A search takes it back as its baseline: python -m rag_opt.search baseline=winner.yaml"""


def refuse_occupied(folder: Path) -> None:
    """Raise BadBundle where a bundle cannot be written: a folder that holds something, or a file."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise BadBundle(f"{folder} is not empty; a bundle is written into a new or empty folder")


def _refuse_unknown_filters(names: Sequence[str], corpus: Corpus) -> None:
    lacking = {name: sum(name not in one for one in corpus.metadata) for name in names}
    for name, count in lacking.items():
        if count:
            raise BadBundle(
                f"--requires-filter {name}: {count} of {len(corpus.documents)} documents have no such metadata, and "
                "could never be returned"
            )


def _write_json(path: Path, content: object) -> None:
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def _write_yaml(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


def _write_models(folder: Path, builder: PipelineBuilder, spec: PipelineSpec, facts: BundleFacts) -> None:
    """Write cards, tokenizers and prompt, and the models themselves where they travel with the bundle."""
    if spec.embedding_model is not None:
        card = _write_embedder(builder.encoder(spec.embedder), folder, weights=facts.weights)
        _write_json(folder / CARD, strict.dump(card))
    tokenizer = find_tokenizer(spec.packer.tokenizer)
    if isinstance(tokenizer, FileTokenizer) and spec.packer.tokenizer not in TOKENIZERS:
        (folder / BUDGET_TOKENIZER).mkdir()
        shutil.copy(tokenizer.file, folder / BUDGET_TOKENIZER / "tokenizer.json")
    if isinstance(spec.reranker, PairReranker):
        card_of_reranker = spec.reranker.find_card(builder.rerankers, builder.cards)
        _write_card(folder, spec.reranker.name, card_of_reranker, RERANKER, weights=facts.weights)
    for index in find_index_parts(spec).values():
        if isinstance(index, ModelIndex):
            _write_card(
                folder,
                index.name,
                index.find_card(builder.rerankers, builder.cards),
                INDEX_MODEL,
                weights=facts.weights,
            )
    if builder.llm_client is not None and spec.uses_llm:
        _write_json(folder / LLM, strict.dump(builder.llm_client.settings))
    if isinstance(spec.generator, LLMGenerator):
        _write_prompt(folder, spec.generator.prompt, builder.prompts.read(spec.generator.prompt))


def _write_embedder(encoder: Encoder, folder: Path, *, weights: bool) -> EmbedderCard:
    """Return the card as a bundle keeps it; a model that was made here travels with it, another as a copy if asked."""
    if encoder.made_here:
        shutil.copytree(encoder.folder, folder / MODEL, ignore=shutil.ignore_patterns(MANIFEST))
        (folder / TOKENIZER).mkdir()
        shutil.copy(encoder.card.tokenizer_file, folder / TOKENIZER / "tokenizer.json")
        return dataclasses.replace(encoder.card, path=MODEL, tokenizer=TOKENIZER, revision=None)
    if not weights:
        return _with_whole_path(encoder.card)
    copy_model(encoder.card, folder / MODEL)
    return dataclasses.replace(encoder.card, path=MODEL, tokenizer=None)


def _with_whole_path(card: Card) -> Card:
    """Return the card with its folder as it is found from anywhere."""
    if card.path is None or card.path.startswith("package:"):
        return card
    return dataclasses.replace(card, path=str(Path(card.path).resolve()))


def _write_card(folder: Path, name: str, card: ModelCard, copy: str, *, weights: bool) -> None:
    """Write the card of a reranker's or an index's model into a folder of cards, and the model as a copy if asked."""
    card = _with_whole_path(card)
    if weights:
        copy_model(card, folder / copy)
        card = dataclasses.replace(card, path=copy, tokenizer=None)
    group = "reranker" if isinstance(card, RerankerCard) else "embedder"
    _write_yaml(folder / CARDS / group / f"{name.replace('/', '--')}.yaml", strict.dump(card))


def _write_prompt(folder: Path, name: str, prompt: Prompt) -> None:
    _write_yaml(folder / PROMPT / f"{name}.yaml", strict.dump(prompt))


def _write_documents(folder: Path, corpus: Corpus) -> None:
    """Write the documents; blocks that no reader gave are found now, not with the first question about each."""
    with (folder / DOCUMENTS).open("wb") as file:
        for document in corpus.documents:
            blocks, pages = dataclasses.replace(document, blocks=blocks_of(document)).structure
            line: PlainDict = {"id": document.id, "text": document.text, "title": document.title}
            line |= {"metadata": dict(document.metadata), "blocks": blocks, "pages": pages}
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def _write_indexes(folder: Path, builder: PipelineBuilder, spec: PipelineSpec) -> None:
    """Write the chunk table, and every index as it is opened by a service."""
    parts = builder.keys(spec).indexes
    for name, source in builder.folders(spec).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name == CHUNKS:
            shutil.copytree(source, target)
        else:
            part = parts[name.removeprefix(f"{INDEX}/")][0]
            part.write_for_serving(source, target)
            if isinstance(part, BoundIndex):
                made_with = files_digest(part.card.folder, builder.store.values)
                (target / MODEL_FILES).write_text(made_with, encoding="utf-8")
            if (source / PROJECTION).exists():
                shutil.copy(source / PROJECTION, target / PROJECTION)
        (target / MANIFEST).unlink(missing_ok=True)


def _write_texts(folder: Path, builder: PipelineBuilder, spec: PipelineSpec, facts: BundleFacts) -> int:
    """Write text maps, and vectors of sentences; return how many of these there are."""
    texts, encoder = builder.texts(spec), builder.encoder(spec.embedder)
    maps = build_text_maps(texts, encoder, spec)
    maps.save(folder / TEXT_MAPS)
    if not facts.sentence_vectors or not isinstance(spec.generator, ExtractiveGenerator):
        return 0
    return write_sentence_vectors(folder / SENTENCES, texts, maps, encoder)
