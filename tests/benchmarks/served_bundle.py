"""The bundle that serving is measured on: the default pipeline over SciFact, about 10,000 chunks, its claims asked."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import yaml

from rag_opt.cli.composing import conf_folder
from rag_opt.core.documents import Corpus
from rag_opt.core.questions import Dataset
from rag_opt.data.datasets.beir import Beir
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle_writing import BundleFacts, write_bundle
from rag_opt.setup.builtins import load_built_in
from rag_opt.store.artifacts import Store
from tests.production.bundles import seen_by_search

DATA = Path(__file__).parents[3] / "shared" / "data"
PLACE = Path(tempfile.gettempdir()) / "rag_opt_served_bundle"
_TOKENS = 176  # of a chunk: 10,190 chunks
_ASKED = 300


def default_spec(**changes: object) -> PipelineSpec:
    """Return the default pipeline, with chunks of a size that gives about 10,000."""
    default = yaml.safe_load((conf_folder() / "pipeline" / "default.yaml").read_text(encoding="utf-8"))
    return PipelineSpec.from_dict({**default, "chunker": {"recursive": {"size": _TOKENS}}, **changes})


def scifact() -> Dataset:
    """Return SciFact's abstracts and claims, in English."""
    dataset = Beir(folder=str(DATA / "scifact"), split="train").read()
    return dataclasses.replace(dataset, corpus=Corpus(dataset.corpus.documents, "en"))


def new_builder(corpus: Corpus, store: Path) -> PipelineBuilder:
    """Return a builder over a corpus."""
    load_built_in()
    return PipelineBuilder(corpus, Store(store), embedder_card_library([conf_folder()]))


def served_bundle() -> Path:
    """Return the bundle's folder; building it takes some minutes the first time."""
    folder = PLACE / "bundle"
    if not (folder / "manifest.json").exists():
        dataset = scifact()
        builder = new_builder(dataset.corpus, PLACE / "store")
        stored = seen_by_search(builder, default_spec(), dataset.questions[:_ASKED], PLACE)
        write_bundle(folder, builder, default_spec(), BundleFacts(study="served", questions=stored))
        builder.close()
    return folder
