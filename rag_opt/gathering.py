"""What every command that composes a config begins with: parts, the data set, and what builds pipelines over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rag_opt import config
from rag_opt.data.folder import read_documents
from rag_opt.data.language import in_language
from rag_opt.data.reading import Problems, make_corpus
from rag_opt.errors import BadInput, Problem
from rag_opt.feasible import unasked
from rag_opt.parts.embedders.cards import Cards, card_folders
from rag_opt.parts.generators.prompts import prompt_shelf
from rag_opt.parts.models.runtimes import Machine
from rag_opt.parts.models.spending import Spending
from rag_opt.parts.rerankers.cards import reranker_shelf
from rag_opt.pipeline import PipelineSpec, Workshop
from rag_opt.records import Corpus, Dataset
from rag_opt.registry import load_parts, lookup
from rag_opt.settings import Settings
from rag_opt.store import Store


def load_built_in(plugins: Sequence[str] = ()) -> None:
    """Make every built-in part, reader and sampler known, and those of the named packages."""
    import rag_opt.data.autorag
    import rag_opt.data.beir
    import rag_opt.data.csv_spans
    import rag_opt.data.folder
    import rag_opt.data.hub
    import rag_opt.data.logs
    import rag_opt.data.python_reference
    import rag_opt.data.ragas_testset
    import rag_opt.data.squad
    import rag_opt.study.cost_aware
    import rag_opt.study.samplers  # noqa: F401  # readers and samplers register when imported

    load_parts(plugins)


def read_dataset(given: Mapping[str, Any]) -> Dataset:
    data = dict(given)
    reader = lookup("dataset", str(data.pop("reader", "")), where="dataset.reader")
    missing = [key for key, value in data.items() if value == "???"]
    if missing:
        raise BadInput([Problem(f"dataset.{key}", f"must be given: dataset.{key}=…") for key in missing])
    language = data.pop("language", None)
    read: Dataset = config.load(reader, data, path="dataset").read()
    return in_language(read, language)


def new_workshop(
    settings: Settings, corpus: Corpus, store: Store, cards: Cards, conf_folders: Sequence[Path]
) -> Workshop:
    code = tuple(settings.embedder.allow_code)
    return Workshop(
        corpus,
        store,
        cards,
        rerankers=reranker_shelf(conf_folders).changed(settings.reranker.cards),
        machine=Machine(settings.device, settings.runtime, settings.document_precision, code),
        language_model=settings.llm,
        judge=settings.judge,
        prompts=prompt_shelf(conf_folders),
        spending=Spending(settings.budget),
    )


def _read(composed: Mapping[str, Any]) -> Settings:
    """The settings, with all parts known. Raises BadInput."""
    load_built_in()
    settings: Settings = config.load(Settings, dict(composed))
    load_parts(settings.plugins)
    problems = unasked(settings.llm, settings.judge, settings.budget)
    if problems:
        raise BadInput(problems)
    return settings


def documents_alone(
    composed: Mapping[str, Any], *, conf_folders: Sequence[Path]
) -> tuple[Settings, Corpus, Workshop, PipelineSpec]:
    """Settings, the documents of a data set whatever is known of its questions, and what builds pipelines over them.

    Raises BadInput.
    """
    settings = _read(composed)
    language = settings.dataset.get("language")
    found = in_language(_with_documents(settings.dataset), language)
    cards = card_folders(conf_folders).changed(settings.embedder.cards)
    shop = new_workshop(settings, found.corpus, Store(Path(settings.outputs) / "store"), cards, conf_folders)
    return settings, found.corpus, shop, PipelineSpec.from_dict(settings.pipeline)


def models_alone(composed: Mapping[str, Any], *, conf_folders: Sequence[Path]) -> tuple[Workshop, str]:
    """What asks the models of a config, without any document; and the language that was named. Raises BadInput."""
    settings = _read(composed)
    cards = card_folders(conf_folders).changed(settings.embedder.cards)
    store = Store(Path(settings.outputs) / "store")
    return new_workshop(settings, Corpus(()), store, cards, conf_folders), str(settings.dataset.get("language") or "")


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
