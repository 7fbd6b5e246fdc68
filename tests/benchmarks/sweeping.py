"""481 fusion settings over stored lists of 472 questions, scored on evidence: five corpora of real text."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from rag_opt.composing import conf_folder
from rag_opt.coverage import Coverage, Pool
from rag_opt.data.csv_spans import CsvSpans
from rag_opt.evidence import document_gold, span_gold
from rag_opt.parts.embedders.cards import card_folders
from rag_opt.pipeline import PipelineSpec, Workshop
from rag_opt.registry import kinds, load_parts
from rag_opt.store import Store

DATA = Path(__file__).parents[3] / "shared" / "data" / "chunking_evaluation"
PIPELINE = {
    "chunker": {"recursive": {"size": 224}},
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
    weighted, rrf = kinds("retriever")["weighted"], kinds("retriever")["rrf"]
    parts = [*(weighted(weight=float(w)) for w in np.linspace(0, 1, 404)), *(rrf(k=k) for k in range(4, 81))]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        workshop = Workshop(data.corpus, store, card_folders([conf_folder()]))
        pipeline = workshop.pipeline(PipelineSpec.from_dict(PIPELINE))
        started = time.perf_counter()
        pipeline.lists(data.questions)
        making = time.perf_counter() - started
        times = []
        for _ in range(5):
            started = time.perf_counter()
            lists = pipeline.lists(data.questions)
            read = time.perf_counter()
            pool, chunks = Pool.of(lists), pipeline.chunks
            gold = {
                "spans": span_gold(data.questions, data.corpus),
                "documents": document_gold(data.questions, data.corpus),
            }
            coverage = Coverage.of(pool, chunks.document, chunks.start, chunks.end, **gold)
            best = 0.0
            for _, order in pool.orders([part.gains(lists) for part in parts], 10):
                best = max(best, float(np.nanmean(coverage.recall(order), axis=1).max()))
            times.append((read - started, time.perf_counter() - read))
        workshop.close()
        store.close()
    reading, fusing = (statistics.median(column) for column in zip(*times, strict=True))
    size = f"{len(data.questions)} questions and {len(chunks):,} chunks"
    return [
        (
            f"{len(parts)} fusion settings on {size}, lists in memory, best recall {best:.3f}",
            f"{fusing:.2f} s",
            "0.5 s",
        ),
        ("… reading the lists from the store before it", f"{reading:.2f} s", ""),
        ("… chunking, embedding and searching before that, cold", f"{making:.0f} s", ""),
    ]
