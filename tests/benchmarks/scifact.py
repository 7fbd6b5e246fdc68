"""SciFact's documents found for its training claims, as benchmarks of document retrieval have it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from rag_opt.cli.composing import conf_folder
from rag_opt.data.datasets.beir import Beir
from rag_opt.data.language import set_language
from rag_opt.metrics.evidence import build_document_gold, score_documents
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.builtins import load_built_in
from rag_opt.store.artifacts import Store

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "scifact"
_BASE: dict[str, Any] = {
    "embedder": {"model": {"name": "minilm"}},
    "query": {"none": {}},
    "expander": {"none": {}},
    "reranker": {"none": {}},
    "packer": {"ranked": {}},
    "generator": {"extractive": {}},
}
_LISTS = {"top_k": 10, "depth": 100}
PIPELINES = {
    "MiniLM, the first 254 tokens of each document, every vector compared": {
        "chunker": {"document": {"size": 254}},
        "retriever": {"exact": _LISTS},
    },
    "the same through Chroma": {"chunker": {"document": {"size": 254}}, "retriever": {"dense": _LISTS}},
    "BM25, stemmed, whole documents": {
        "chunker": {"document": {"size": 100_000}},
        "retriever": {"lexical": {**_LISTS, "stemmer": "corpus"}},
    },
    "BM25, not stemmed, whole documents": {
        "chunker": {"document": {"size": 100_000}},
        "retriever": {"lexical": _LISTS},
    },
}


def measure() -> list[tuple[str, str, str]]:
    if not FOLDER.is_dir():
        return [("SciFact", "its data are not here", "")]
    load_built_in()
    dataset = set_language(Beir(folder=str(FOLDER), split="train").read(), "en")
    gold = build_document_gold(dataset.questions, dataset.corpus)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        builder = PipelineBuilder(dataset.corpus, Store(Path(folder)), embedder_card_library([conf_folder()]))
        for name, slots in PIPELINES.items():
            started = time.perf_counter()
            pipeline = builder.pipeline(PipelineSpec.from_dict({**_BASE, **slots}))
            scores = score_documents(pipeline.retrieve(dataset.questions).ranked, gold, k=10)
            took = time.perf_counter() - started
            rows.append((name, f"nDCG@10 {np.nanmean(scores.ndcg):.4f} ({took:.0f} s)", ""))
        builder.close()
    return rows
