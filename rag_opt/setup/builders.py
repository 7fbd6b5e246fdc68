"""Builders of pipelines from settings: over a data set, over documents alone, or over no documents at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rag_opt.core import strict
from rag_opt.core.corpus_readings import CorpusReadings
from rag_opt.core.documents import Corpus
from rag_opt.core.errors import BadInput
from rag_opt.core.registry import load_parts
from rag_opt.core.strict import PlainMapping
from rag_opt.models.embedder_cards import EmbedderCards, embedder_card_library
from rag_opt.models.llm.budget import BudgetTracker
from rag_opt.models.llm.prompts import prompt_library
from rag_opt.models.reranker_cards import reranker_card_library
from rag_opt.models.runtimes import DocumentRuntime, Machine
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.builtins import load_built_in
from rag_opt.setup.datasets import read_documents
from rag_opt.setup.preflight import find_llm_problems
from rag_opt.setup.schema import Settings
from rag_opt.store.artifacts import Store


def new_builder(
    settings: Settings,
    corpus: Corpus | CorpusReadings,
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
    store = Store(Path(settings.outputs) / "store")
    dataset = read_documents(settings.dataset, values=lambda: store.values)
    cards = embedder_card_library(conf_folders).with_changes(settings.embedder.cards)
    builder = new_builder(settings, dataset.corpus, store, cards, conf_folders)
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
