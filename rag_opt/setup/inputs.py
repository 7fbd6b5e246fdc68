"""What every command that composes a config begins with: parts, the data set, and what builds pipelines over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rag_opt.core import strict as config
from rag_opt.core.documents import Corpus
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import load_parts, lookup
from rag_opt.data.datasets.folder import read_documents
from rag_opt.data.language import in_language
from rag_opt.data.reading import Problems, make_corpus
from rag_opt.models.embedder_cards import EmbedderCards, embedder_card_library
from rag_opt.models.llm.budget import BudgetTracker
from rag_opt.models.llm.prompts import prompt_library
from rag_opt.models.reranker_cards import reranker_card_library
from rag_opt.models.runtimes import Machine
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.builtins import load_built_in
from rag_opt.setup.preflight import find_llm_problems
from rag_opt.setup.schema import Settings
from rag_opt.store.artifacts import Store


def read_dataset(given: Mapping[str, Any]) -> Dataset:
    data = dict(given)
    reader = lookup("dataset", str(data.pop("reader", "")), where="dataset.reader")
    missing = [key for key, value in data.items() if value == "???"]
    if missing:
        raise BadInput([Problem(f"dataset.{key}", f"must be given: dataset.{key}=…") for key in missing])
    language = data.pop("language", None)
    read: Dataset = config.load(reader, data, path="dataset").read()
    return in_language(read, language)


def new_builder(
    settings: Settings, corpus: Corpus, store: Store, cards: EmbedderCards, conf_folders: Sequence[Path]
) -> PipelineBuilder:
    code = tuple(settings.embedder.allow_code)
    return PipelineBuilder(
        corpus,
        store,
        cards,
        rerankers=reranker_card_library(conf_folders).changed(settings.reranker.cards),
        machine=Machine(settings.device, settings.runtime, settings.document_precision, code),
        language_model=settings.llm,
        judge=settings.judge,
        prompts=prompt_library(conf_folders),
        budget_tracker=BudgetTracker(settings.budget),
    )


def _read(composed: Mapping[str, Any]) -> Settings:
    """The settings, with all parts known. Raises BadInput."""
    load_built_in()
    settings: Settings = config.load(Settings, dict(composed))
    load_parts(settings.plugins)
    problems = find_llm_problems(settings.llm, settings.judge, settings.budget)
    if problems:
        raise BadInput(problems)
    return settings


def documents_alone(
    composed: Mapping[str, Any], *, conf_folders: Sequence[Path]
) -> tuple[Settings, Corpus, PipelineBuilder, PipelineSpec]:
    """Settings, the documents of a data set whatever is known of its questions, and what builds pipelines over them.

    Raises BadInput.
    """
    settings = _read(composed)
    language = settings.dataset.get("language")
    found = in_language(_with_documents(settings.dataset), language)
    cards = embedder_card_library(conf_folders).changed(settings.embedder.cards)
    builder = new_builder(settings, found.corpus, Store(Path(settings.outputs) / "store"), cards, conf_folders)
    return settings, found.corpus, builder, PipelineSpec.from_dict(settings.pipeline)


def models_alone(composed: Mapping[str, Any], *, conf_folders: Sequence[Path]) -> tuple[PipelineBuilder, str]:
    """What asks the models of a config, without any document; and the language that was named. Raises BadInput."""
    settings = _read(composed)
    cards = embedder_card_library(conf_folders).changed(settings.embedder.cards)
    store = Store(Path(settings.outputs) / "store")
    return new_builder(settings, Corpus(()), store, cards, conf_folders), str(settings.dataset.get("language") or "")


def _with_documents(given: Mapping[str, Any]) -> Dataset:
    """A data set without its questions where its documents stand by themselves."""
    source = given.get("documents")
    if source is None or source == "???":
        return read_dataset(given)
    problems, notes = Problems(), list[str]()
    also = [str(one) for one in given.get("also") or ()]
    corpus = make_corpus(read_documents(Path(str(source)), problems, notes, also=also), str(source), problems)
    problems.refuse_if_any()
    return Dataset(str(given.get("name", "documents")), corpus, (), tuple(notes))
