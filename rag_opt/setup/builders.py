"""Builders of pipelines from settings: over a data set, over documents alone, or over no documents at all."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rag_opt.core import strict
from rag_opt.core.documents import Corpus
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import load_parts, lookup
from rag_opt.core.strict import PlainMapping
from rag_opt.data.datasets.folder import read_documents
from rag_opt.data.language import set_language
from rag_opt.data.reading import Problems, build_corpus
from rag_opt.models.embedder_cards import EmbedderCards, embedder_card_library
from rag_opt.models.llm.budget import BudgetTracker
from rag_opt.models.llm.prompts import prompt_library
from rag_opt.models.reranker_cards import reranker_card_library
from rag_opt.models.runtimes import DocumentRuntime, Machine
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.builtins import load_built_in
from rag_opt.setup.preflight import find_llm_problems
from rag_opt.setup.schema import Settings
from rag_opt.store.artifacts import Store


def read_dataset(given: PlainMapping) -> Dataset:
    """Return the data set that the settings `dataset` describe. Raises BadInput with everything wrong with it."""
    settings = dict(given)
    reader = lookup("dataset", str(settings.pop("reader", "")), where="dataset.reader")
    missing = [key for key, value in settings.items() if value == "???"]
    if missing:
        raise BadInput([Problem(f"dataset.{key}", f"must be given: dataset.{key}=…") for key in missing])
    language = settings.pop("language", None)
    dataset: Dataset = strict.load(reader, settings, path="dataset").read()
    return set_language(dataset, language)


def new_builder(
    settings: Settings,
    corpus: Corpus,
    store: Store,
    cards: EmbedderCards,
    conf_folders: Sequence[Path],
    *,
    kept: Mapping[str, DocumentRuntime] = MappingProxyType({}),
) -> PipelineBuilder:
    """Return what builds pipelines over a corpus with the models and prompts of the settings.

    `kept`: by id of a model, what a study that goes on encodes its documents with.
    """
    code = tuple(settings.embedder.allow_code)
    return PipelineBuilder(
        corpus,
        store,
        cards,
        rerankers=reranker_card_library(conf_folders).with_changes(settings.reranker.cards),
        machine=Machine(settings.device, settings.runtime, settings.document_precision, code, kept),
        language_model=settings.llm,
        judge=settings.judge,
        prompts=prompt_library(conf_folders),
        budget_tracker=BudgetTracker(settings.budget),
    )


def open_documents(
    composed: PlainMapping, *, conf_folders: Sequence[Path]
) -> tuple[Settings, Corpus, PipelineBuilder, PipelineSpec]:
    """Return settings, the documents without their questions, what builds over them, and the default pipeline.

    Raises BadInput.
    """
    settings = _load_settings(composed)
    dataset = set_language(_read_documents_alone(settings.dataset), settings.dataset.get("language"))
    cards = embedder_card_library(conf_folders).with_changes(settings.embedder.cards)
    builder = new_builder(settings, dataset.corpus, Store(Path(settings.outputs) / "store"), cards, conf_folders)
    return settings, dataset.corpus, builder, PipelineSpec.from_dict(settings.pipeline)


def open_models(composed: PlainMapping, *, conf_folders: Sequence[Path]) -> tuple[PipelineBuilder, str]:
    """Return what asks the models of a config, without any document, and the language that was named.

    Raises BadInput.
    """
    settings = _load_settings(composed)
    cards = embedder_card_library(conf_folders).with_changes(settings.embedder.cards)
    store = Store(Path(settings.outputs) / "store")
    return new_builder(settings, Corpus(()), store, cards, conf_folders), str(settings.dataset.get("language") or "")


def _load_settings(composed: PlainMapping) -> Settings:
    load_built_in()
    settings = strict.load(Settings, dict(composed))
    load_parts(settings.plugins)
    problems = find_llm_problems(settings.llm, settings.judge, settings.budget)
    if problems:
        raise BadInput(problems)
    return settings


def _read_documents_alone(given: PlainMapping) -> Dataset:
    """Return a data set without its questions where its documents stand by themselves."""
    source, reader = given.get("documents"), lookup("dataset", str(given.get("reader", "")), where="dataset.reader")
    is_path = typing.get_type_hints(reader).get("documents") in (str, str | None)
    if not is_path or source is None or source == "???":
        return read_dataset(given)
    problems, notes = Problems(), list[str]()
    also = [str(ending) for ending in given.get("also") or ()]
    exclude = [str(pattern) for pattern in given.get("exclude") or ()]
    documents = read_documents(Path(str(source)), problems, notes, also=also, exclude=exclude)
    corpus = build_corpus(documents, str(source), problems)
    problems.raise_if_any()
    return Dataset(str(given.get("name", "documents")), corpus, (), tuple(notes))
