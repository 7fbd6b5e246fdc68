"""A bundle in five vector stores: parity with and without filters, pushes that are killed, and pushes done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import rag_opt
from rag_opt.core.documents import Corpus, Document
from rag_opt.core.questions import Question
from rag_opt.production.bundle import Bundle
from rag_opt.production.bundle_writing import BundleFacts, write_bundle
from rag_opt.production.vector_stores.addresses import open_store, read_address
from rag_opt.production.vector_stores.pushing import push_bundle
from tests.benchmarks.served_bundle import DATA, default_spec, new_builder, scifact
from tests.production.bundles import seen_by_search
from tests.production.stores import KINDS, store

Row = tuple[str, str, str]
_DOCUMENTS, _ASKED, _KILLS = 1030, 153, 5
_FILTERS: list[dict[str, object]] = [
    {"year": {"gte": 2010, "lt": 2020}},
    {"journal": {"in": ["a", "b"]}},
    {"reviewed": True},
    {"grant": {"absent": True}},
    {"journal": "c", "year": {"gt": 2004}},
]
_PUSH = """
import sys
from rag_opt.production.vector_stores.pushing import push_bundle
push_bundle(sys.argv[1], sys.argv[2], at_once=64, progress=lambda done, count: print(done, flush=True))
"""


def measure() -> list[Row]:
    """Return a row for each store and framework: how many of 153 questions return the very same passages."""
    if not DATA.is_dir():
        return [("stores", "its data are not here", "")]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bundle = rag_opt.load(_build(folder))
        rows = [_measure_frameworks(bundle)]
        for kind in KINDS:
            (folder / kind).mkdir()
            with store(kind, folder / kind) as address:
                rows.append(_measure_store(kind, folder / "bundle", address, bundle))
        return rows


def _build(folder: Path) -> Path:
    """Write a bundle of about 2,000 chunks of SciFact, its documents with metadata of every type."""
    documents = [
        Document(one.id, one.text, metadata=_metadata(number))
        for number, one in enumerate(scifact().corpus.documents[:_DOCUMENTS])
    ]
    builder = new_builder(Corpus(tuple(documents), "en"), folder / "store")
    spec = default_spec()
    stored = seen_by_search(builder, spec, [Question(one.id, one.text) for one in scifact().questions[:_ASKED]], folder)
    write_bundle(folder / "bundle", builder, spec, BundleFacts(study="stores", questions=stored))
    builder.close()
    return folder / "bundle"


def _metadata(number: int) -> dict[str, object]:
    known: dict[str, object] = {"year": 2000 + number % 25, "journal": "abcde"[number % 5], "reviewed": number % 3 == 0}
    return known | ({"grant": f"g{number}"} if number % 2 else {})


def _measure_store(kind: str, folder: Path, address: str, own: Bundle) -> Row:
    kills = _push_and_kill(folder, address)
    started = time.perf_counter()
    first = push_bundle(folder, address, every=True)
    took_s = time.perf_counter() - started
    again = push_bundle(folder, address)
    opened = open_store(read_address(address, where=""))
    kept = opened.stored(first.collection)
    opened.close()
    theirs = rag_opt.load(folder, collection=address)
    same, filtered, recall = 0, 0, list[float]()
    for number, one in enumerate(own.questions):
        same += _passages(own, one.line.question, {}) == _passages(theirs, one.line.question, {})
        filters = _FILTERS[number % len(_FILTERS)]
        filtered += _passages(own, one.line.question, filters) == _passages(theirs, one.line.question, filters)
        recall.append(_recall(own, theirs, one.line.question, filters))
    assert theirs.collection is not None
    theirs.collection.close()
    count, asked = first.chunks, len(own.questions)
    exact = "exact" if first.recall is None else f"approximate, recall {first.recall:.4f}"
    said = f"{same} of {asked} the same, with filters {filtered} of {asked} (recall of its lists {np.mean(recall):.4f})"
    lost, twice = count - len(np.unique(kept)), len(kept) - len(np.unique(kept))
    resumed = f"killed {kills} times and resumed: {lost} of {count:,} lost, {twice} twice"
    pushed = f"{resumed}; again: {again.written} written"
    return f"{kind} ({exact})", f"{said}; {pushed}; {took_s:.1f} s for the rest and the check", "100 %; or recall 0.99"


def _push_and_kill(folder: Path, address: str) -> int:
    """Push several times, and kill each push after some batches; return how many were killed."""
    generator, kills = random.Random(0), 0
    for _ in range(_KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", _PUSH, str(folder), address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        for _ in range(generator.randint(1, 5)):
            if not process.stdout.readline():
                break
        time.sleep(generator.random() * 0.05)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    return kills


def _passages(bundle: Bundle, question: str, filters: dict[str, object]) -> list[tuple[str, int, int, float]]:
    found = bundle.retrieve(question, filters=filters)
    return [(one.document, one.start, one.end, round(one.score, 4)) for one in found]


def _recall(own: Bundle, theirs: Bundle, question: str, filters: dict[str, object]) -> float:
    asked = [Question("", question, filters=filters)]
    ours, other = (bundle.pipeline.lists(asked)["dense"].chunks[0] for bundle in (own, theirs))
    return len(set(ours.tolist()) & set(other.tolist())) / len(set(ours.tolist()))


def _measure_frameworks(bundle: Bundle) -> Row:
    import haystack

    langchain, llama_index = bundle.as_langchain_retriever(), bundle.as_llama_index_retriever()
    pipeline = haystack.Pipeline()
    pipeline.add_component("retriever", bundle.as_haystack_component())
    same = dict.fromkeys(("LangChain", "LlamaIndex", "Haystack"), 0)
    for one in bundle.questions:
        question = one.line.question
        own = [(p.text, bundle.describe_passage(p), p.score) for p in bundle.retrieve(question)]
        found = {
            "LangChain": [(d.page_content, d.metadata, d.metadata["score"]) for d in langchain.invoke(question)],
            "LlamaIndex": [(n.node.get_content(), n.node.metadata, n.score) for n in llama_index.retrieve(question)],
            "Haystack": [
                (d.content, d.meta, d.score)
                for d in pipeline.run({"retriever": {"query": question}})["retriever"]["documents"]
            ],
        }
        for name, passages in found.items():
            same[name] += passages == own
    said = ", ".join(f"{name} {count} of {len(bundle.questions)}" for name, count in same.items())
    return "adapters: same passages, order, metadata, scores", said, "100 %"
