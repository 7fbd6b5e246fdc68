"""Every family of chunkers, embeddings, retrievers, expanders and rerankers on two data sets: quality, time, memory.

Each row is a process of its own, so that its peak memory is its own; vectors are shared through one store, so that
what is timed is what a family adds. `python -m tests.benchmarks.families DATASET SPEC STORE` runs one row.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parents[3] / "shared" / "data"
BASE: dict[str, Any] = {
    "chunker": {"recursive": {"size": 160}},
    "embedder": {"model": {"name": "minilm"}},
    "query": {"none": {}},
    "retriever": {"dense": {"top_k": 30, "depth": 100}},
    "expander": {"none": {}},
    "reranker": {"none": {}},
    "packer": {"ranked": {"context_tokens": 1000}},
    "generator": {"extractive": {}},
}
LISTS = {"top_k": 30, "depth": 100}
VARIANTS: dict[str, dict[str, Any]] = {
    "recursive 160, dense (the base of all others)": {},
    "chunker fixed": {"chunker": {"fixed": {"size": 160}}},
    "chunker fixed, a fifth overlapping": {"chunker": {"fixed": {"size": 160, "overlap": 0.2}}},
    "chunker sentence": {"chunker": {"sentence": {"size": 160}}},
    "chunker markdown": {"chunker": {"markdown": {"size": 160}}},
    "chunker code (recursive where there is no grammar)": {"chunker": {"code": {"size": 160}}},
    "chunker semantic": {"chunker": {"semantic": {"size": 160}}},
    "chunker cluster": {"chunker": {"cluster": {"size": 160}}},
    "chunker cluster as published, 200 tokens": {"chunker": {"cluster": {"size": 200, "piece": 50, "bound": "pieces"}}},
    "embedder late, window 254": {"embedder": {"late": {"window": 254}}},
    "embedder cut to 128 dimensions": {"embedder": {"model": {"dimensions": 128}}},
    "embedder pca to 128": {"embedder": {"pca": {"project_to": 128}}},
    "embedder static, 256": {"embedder": {"static": {"dimensions": 256}}},
    "retriever exact": {"retriever": {"exact": LISTS}},
    "retriever exact, int8": {"retriever": {"exact": {**LISTS, "precision": "int8"}}},
    "retriever lexical": {"retriever": {"lexical": LISTS}},
    "retriever lexical, stemmed": {"retriever": {"lexical": {**LISTS, "stemmer": "corpus"}}},
    "retriever lexical, bm25+": {"retriever": {"lexical": {**LISTS, "method": "bm25+"}}},
    "retriever rrf": {"retriever": {"rrf": LISTS}},
    "retriever weighted, min-max": {"retriever": {"weighted": LISTS}},
    "retriever weighted, z-score": {"retriever": {"weighted": {**LISTS, "scaling": "z_score"}}},
    "query prf": {"query": {"prf": {}}},
    "expander parent 512": {"expander": {"parent": {"size": 512}}},
    "expander window 1, 1": {"expander": {"window": {}}},
    "reranker mmr": {"reranker": {"mmr": {}}},
    "reranker late interaction by MiniLM's tokens": {"reranker": {"late_interaction": {"depth": 20}}},
}


def dataset(name: str) -> Any:
    from rag_opt.data.datasets.beir import Beir
    from rag_opt.data.datasets.csv_spans import CsvSpans
    from rag_opt.data.language import set_language

    if name == "scifact":
        read: Any = Beir(folder=str(DATA / "scifact"), split="train")
    else:
        folder = DATA / "chunking_evaluation"
        read = CsvSpans(documents=str(folder / "corpora"), questions=str(folder / "questions.csv"))
    return set_language(read.read(), "en")


def row(name: str, spec: dict[str, Any], store: Path) -> dict[str, Any]:
    """One pipeline over one data set, without answers."""
    from rag_opt.cli.composing import conf_folder
    from rag_opt.core.registry import load_parts
    from rag_opt.metrics.evidence import build_document_gold, build_span_gold, score_documents, score_spans
    from rag_opt.models.embedder_cards import embedder_card_library
    from rag_opt.pipeline.builder import PipelineBuilder
    from rag_opt.pipeline.spec import PipelineSpec
    from rag_opt.store.artifacts import Store

    load_parts()
    data = dataset(name)
    builder = PipelineBuilder(data.corpus, Store(store), embedder_card_library([conf_folder()]))
    made = PipelineSpec.from_dict(spec)
    pipeline = builder.pipeline(made)
    found = pipeline.retrieve(data.questions)
    if name == "scifact":
        quality = float(
            np.nanmean(score_documents(found.hits, build_document_gold(data.questions, data.corpus), k=10).ndcg)
        )
        more = float("nan")
    else:
        scored = score_spans(found.hits, build_span_gold(data.questions, data.corpus))
        quality, more = float(np.nanmean(scored.recall)), float(np.nanmean(scored.dcg))
    seconds: dict[str, float] = {}
    for stage, (_, took) in builder.stage_timer.spent.items():
        family = stage.partition(" ")[0]
        if family != "load":
            seconds[family] = seconds.get(family, 0.0) + took
    folders = builder.folders(made)
    size = sum(path.stat().st_size for key, folder in folders.items() if key != "chunks" for path in folder.rglob("*"))
    asked = sum(float(ms.mean()) for stage, ms in found.latency_ms.items() if stage != "embed")
    builder.close()
    peak = _peak_mb()
    return {
        "quality": quality, "more": more, "chunks": len(pipeline.chunks), "seconds": seconds, "asked_ms": asked,
        "index_mb": size / 1e6, "peak_mb": peak,
    }  # fmt: skip


def _peak_mb() -> float:
    """Most memory that this process had. `getrusage` would say what its parent had when it was started."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), float("nan"))


def measure() -> list[tuple[str, str, str]]:
    found = [*_encoding()]
    names = os.environ.get("RAG_OPT_BENCH_DATA", "chunking_evaluation,scifact").split(",")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            for what, changes in VARIANTS.items():
                # documents as evidence are scored by documents: nothing is cut to a context
                whole = {"packer": {"ranked": {"context_tokens": 1_000_000}}} if name == "scifact" else {}
                started = time.perf_counter()
                found.append((f"{name}: {what}", _line(name, {**BASE, **whole, **changes}, Path(folder)), ""))
                took = time.perf_counter() - started
                print(f"{found[-1][0]}: {found[-1][1]} ({took:.0f} s)", file=sys.stderr, flush=True)
    return found


def _line(name: str, spec: dict[str, Any], store: Path) -> str:
    command = [sys.executable, "-m", "tests.benchmarks.families", name, json.dumps(spec), str(store)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"failed: {done.stderr.strip().splitlines()[-1][:200]}"
    got = json.loads(done.stdout.strip().splitlines()[-1])
    s, spans = got["seconds"], f"recall {got['quality']:.3f}, dcg {got['more']:.3f}"
    quality = f"nDCG@10 {got['quality']:.3f}" if name == "scifact" else spans
    stages = [part for part in ("chunk", "distil", "embed", "index") if s.get(part, 0) >= 0.05]
    build = ", ".join(f"{part} {s[part]:.1f} s" for part in stages) or "built before"
    memory = f"index {got['index_mb']:.0f} MB, peak {got['peak_mb']:,.0f} MB"
    return f"{quality}; {got['chunks']:,} chunks; {build}; {got['asked_ms']:.1f} ms a question; {memory}"


def _encoding() -> list[tuple[str, str, str]]:
    """bfloat16 against float32 by plain torch, and by what is chosen here, on the same texts."""
    from rag_opt.cli.composing import conf_folder
    from rag_opt.models.embedder_cards import embedder_card_library
    from rag_opt.models.encoder import Encoder
    from rag_opt.models.runtimes import Machine
    from rag_opt.store.values import MemoryValues

    card = embedder_card_library([conf_folder()]).read("minilm")
    text = " ".join(document.text for document in dataset("chunking_evaluation").corpus.documents[:2])
    words = text.split()
    texts = [" ".join(words[i : i + 150]) for i in range(0, 150 * 160, 150)]
    rows, plain, speeds = [], None, dict[str, float]()
    for runtime, precision in (("torch", "float32"), ("torch", "bfloat16"), ("auto", "auto")):
        machine = Machine(device="cpu", runtime=runtime, document_precision=precision)  # type: ignore[arg-type]
        encoder = Encoder(card, values=MemoryValues(), machine=machine)
        encoder.vectors(["warm", *texts[:16]], "document")
        started = time.perf_counter()
        made = encoder.vectors(texts[16:], "document")
        key = f"{encoder.runtime.library} {encoder.runtime.precision}"
        speeds[key] = len(texts[16:]) / (time.perf_counter() - started)
        plain = made if plain is None else plain
        cosine = float((made * plain).sum(axis=1).min())
        times = speeds[key] / speeds["torch float32"]
        what = f"MiniLM by {key}, texts of about 200 tokens"
        target = "at least 2 times float32, cosine 0.999" if "bfloat16" in key else ""
        rows.append((what, f"{speeds[key]:.0f} texts/s ({times:.1f} times), cosine at least {cosine:.4f}", target))
    return [*rows, _static(card, texts[16:], speeds["torch float32"])]


def _static(card: Any, texts: list[str], plain: float) -> tuple[str, str, str]:
    """Texts per second of a static model distilled from MiniLM, by sentence-transformers as it is."""
    from sentence_transformers import SentenceTransformer

    from rag_opt.parts.embedders.static import Static

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        Static(dimensions=256).distil(card.folder, Path(folder))
        distilling = time.perf_counter() - started
        model = SentenceTransformer(folder, device="cpu")
        model.encode(texts[:16])
        started = time.perf_counter()
        model.encode(texts * 20, batch_size=1024, show_progress_bar=False)
        speed = len(texts) * 20 / (time.perf_counter() - started)
    said = f"{speed:,.0f} texts/s ({speed / plain:.0f} times torch float32); distilled in {distilling:.0f} s"
    return "MiniLM distilled to 256 static dimensions, the same texts", said, "hundreds of times faster"


if __name__ == "__main__":
    print(json.dumps(row(sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]))))
