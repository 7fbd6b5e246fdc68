"""A whole grid of retrieval settings over five corpora of real text, and 481 fusions of stored lists alone."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rag_opt.cli.composing import conf_folder
from rag_opt.core.arrays import FloatArray
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import kinds, load_parts
from rag_opt.data.datasets.csv_spans import CsvSpans
from rag_opt.metrics.candidates import CandidatePool, EvidenceFound
from rag_opt.metrics.evidence import build_document_gold, build_span_gold
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.pipeline.ask import Pipeline
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.artifacts import Store

DATA = Path(__file__).parents[3] / "shared" / "data" / "chunking_evaluation"
CUTS = (3, 5, 10)
PIPELINE: dict[str, Any] = {
    "chunker": {"recursive": {"size": 200}},
    "embedder": {"model": {"name": "minilm"}},
    "retriever": {"rrf": {}},
    "reranker": {"none": {}},
    "packer": {"ranked": {}},
    "generator": {"extractive": {}},
}


def measure() -> list[tuple[str, str, str]]:
    if not DATA.is_dir():
        return [("481 fusion settings", "not measured: the corpora are not beside this checkout", "at most 0.5 s")]
    load_parts()
    data = CsvSpans(documents=str(DATA / "corpora"), questions=str(DATA / "questions.csv")).read()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        started = time.perf_counter()
        table, chunks, best = _grid(data, store)
        cold = time.perf_counter() - started
        warm, fused = [], []
        for _ in range(5):
            started = time.perf_counter()
            _grid(data, store)
            warm.append(time.perf_counter() - started)
            fused.append(_fusions(data, store))
        store.close()
    reading, fusing = (statistics.median(column) for column in zip(*fused, strict=True))
    size = f"{len(data.questions)} questions and {chunks:,} chunks"
    return [
        (f"{len(fusions())} fusion settings on {size}, lists in memory", f"{fusing:.2f} s", "0.5 s"),
        ("… reading the lists from the store before it", f"{reading:.2f} s", ""),
        (
            f"the whole grid, {table} settings (best recall {best:.3f}), cold: chunked, embedded, indexed",
            f"{cold:.0f} s",
            "60 s",
        ),
        ("… warm: all lists stored", f"{statistics.median(warm):.2f} s", "5 s"),
    ]


def fusions() -> list[Any]:
    weighted, rrf = kinds("retriever")["weighted"], kinds("retriever")["rrf"]
    return [*(weighted(weight=float(w)) for w in np.linspace(0, 1, 404)), *(rrf(k=k) for k in range(4, 81))]


def _grid(data: Dataset, store: Store) -> tuple[int, int, float]:
    """Two BM25 tokenisations and dense at three cuts each, and all fusions: (settings, chunks, best recall)."""
    builder = PipelineBuilder(data.corpus, store, embedder_card_library([conf_folder()]))
    alone = [{"lexical": {"stop_words": words}} for words in ("english", "none")] + [{"dense": {}}]
    done, best = 0, 0.0
    for retriever, parts in [*((one, None) for one in alone), ({"rrf": {}}, fusions())]:
        pipeline = builder.pipeline(PipelineSpec.from_dict({**PIPELINE, "retriever": retriever}))
        lists = pipeline.lists(data.questions)
        cuts = CUTS if parts is None else CUTS[-1:]
        recall = _recalls(data, pipeline, lists, parts or [pipeline.spec.retriever])[:, [cut - 1 for cut in cuts]]
        done, best = done + recall.size, max(best, float(recall.max()))
    builder.close()
    return done, len(pipeline.chunks), best


def _fusions(data: Dataset, store: Store) -> tuple[float, float]:
    """Seconds to read the lists and to score all fusions of them."""
    builder = PipelineBuilder(data.corpus, store, embedder_card_library([conf_folder()]))
    pipeline = builder.pipeline(PipelineSpec.from_dict(PIPELINE))
    started = time.perf_counter()
    lists = pipeline.lists(data.questions)
    read = time.perf_counter()
    _recalls(data, pipeline, lists, fusions())
    return read - started, time.perf_counter() - read


def _recalls(data: Dataset, pipeline: Pipeline, lists: Any, parts: Sequence[Any]) -> FloatArray:
    """[settings, ranks]: mean evidence recall after each rank."""
    pool, chunks = CandidatePool.from_lists(lists), pipeline.chunks
    gold = {
        "spans": build_span_gold(data.questions, data.corpus),
        "documents": build_document_gold(data.questions, data.corpus),
    }
    coverage = EvidenceFound.from_pool(pool, chunks.document, chunks.start, chunks.end, **gold)
    orders = pool.rank([part.gains(lists) for part in parts], CUTS[-1])
    return np.concatenate([np.nanmean(coverage.recall(order), axis=1) for _, order in orders])
