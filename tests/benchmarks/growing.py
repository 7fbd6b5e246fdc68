"""Recall at 5 in the whole corpus, predicted from its tenths: five corpora."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rag_opt.cli.composing import conf_folder
from rag_opt.core.arrays import IntArray
from rag_opt.core.documents import Corpus, Document, Span
from rag_opt.core.questions import Dataset, Question, WholeDocument
from rag_opt.data.datasets.beir import Beir
from rag_opt.data.datasets.csv_spans import CsvSpans
from rag_opt.data.datasets.squad import Squad
from rag_opt.data.language import set_language
from rag_opt.evaluation.growth import fit_growth
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.builtins import load_built_in
from rag_opt.store.artifacts import Store

_DATA = Path(__file__).parents[3] / "shared" / "data"
_TENTHS, _BLOCK, _DEPTH, _K = 10, 20, 50, 5  # a block of neighbouring chunks lies in one tenth
_SPEC: dict[str, Any] = {
    "chunker": {"recursive": {"size": 224}},
    "embedder": {"model": {"name": "minilm"}},
    "query": {"none": {}},
    "retriever": {"exact": {"top_k": _K, "depth": _DEPTH}},
    "expander": {"none": {}},
    "reranker": {"none": {}},
    "packer": {"ranked": {}},
    "generator": {"extractive": {}},
}


def measure() -> list[tuple[str, str, str]]:
    """Return a row for each corpus: recall at 5 in a tenth, predicted for all of it, and measured there."""
    if not _DATA.is_dir():
        return [("growth", "its data are not here", "")]
    load_built_in()
    return [row for name, dataset in _datasets() for row in _rows(name, dataset)]


def _rows(name: str, dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        builder = PipelineBuilder(dataset.corpus, Store(Path(folder)), embedder_card_library([conf_folder()]))
        pipeline = builder.pipeline(PipelineSpec.from_dict(_SPEC))
        chunks = pipeline.chunks
        vectors = pipeline.encoder.vectors(chunks.texts(dataset.corpus), "document")
        queries = pipeline.encoder.vectors([question.text for question in dataset.questions], "query")
        builder.close()
    block = _blocks(chunks.document)
    tenth = np.array([_tenth_of(one) for one in range(block.max() + 1)])[block]
    own, others, whole = list[float](), list[float](), list[float]()
    for question, query in zip(dataset.questions, queries, strict=True):
        gold = _gold_chunks(question, dataset.corpus, chunks.document, chunks.start, chunks.end)
        part = np.unique(tenth[gold]) if len(gold) else np.zeros(0, int)
        if len(part) != 1:  # evidence in several tenths
            continue
        scores = vectors @ query
        before = scores > scores[gold].max()
        same = np.isin(block, block[gold])
        own.append(float((before & same).sum()))
        others.append(float((before & ~same & (tenth == part[0])).sum()))
        whole.append(1.0 + float(before.sum()))
    in_list = np.array(own) + np.array(others) < _DEPTH
    model = fit_growth(np.where(in_list, own, np.nan), np.where(in_list, others, np.nan), k=_K, depth=_DEPTH)
    if model is None:
        yield f"growth: {name}", "too few questions", ""
        return
    large = float((np.array(whole) <= _K).mean())
    told = f"{model.recall:.3f} in a tenth; predicted {model.at(_TENTHS):.3f}, measured {large:.3f}"
    yield f"growth: {name}, {len(own)} questions, {len(chunks):,} chunks", told, "within 0.03 in 4 of 5"


def _blocks(document: Any) -> IntArray:
    """Return for each chunk the document that it counts as: long ones are several, of neighbouring chunks."""
    first = np.searchsorted(document, document)
    place = (np.arange(len(document)) - first) // _BLOCK
    return np.unique(np.stack([document, place]), axis=1, return_inverse=True)[1].reshape(-1)


def _tenth_of(block: int) -> int:
    return hashlib.sha256(str(int(block)).encode()).digest()[0] % _TENTHS


def _gold_chunks(question: Question, corpus: Corpus, document: Any, start: IntArray, end: IntArray) -> IntArray:
    """Return the chunks that hold evidence of a question."""
    found = np.zeros(len(start), bool)
    for one in question.alternatives:
        if isinstance(one, Span):
            shared = np.minimum(end, one.end) - np.maximum(start, one.start)
            found |= (document == corpus.position[one.document_id]) & (
                2 * shared >= np.minimum(end - start, one.end - one.start)
            )
        elif isinstance(one, WholeDocument):
            found |= document == corpus.position.get(one.document_id, -1)
    return np.flatnonzero(found)


def _datasets() -> Iterator[tuple[str, Dataset]]:
    chunking = CsvSpans(
        documents=str(_DATA / "chunking_evaluation" / "corpora"),
        questions=str(_DATA / "chunking_evaluation" / "questions.csv"),
    )
    yield "chunking_evaluation", set_language(chunking.read(), "en")
    yield "SQuAD 2.0", set_language(Squad(file=str(_DATA / "squad" / "dev-v2.0.json")).read(), "en")
    yield "SciFact", set_language(Beir(folder=str(_DATA / "scifact"), split="train").read(), "en")
    for name in ("privacy_qa", "contractnli"):
        yield f"LegalBench-RAG {name}", set_language(_legal(name), "en")


def _legal(name: str) -> Dataset:
    folder = _DATA / "legalbench"
    tests = json.loads((folder / f"{name}.json").read_text())["tests"]
    paths = sorted({snippet["file_path"] for test in tests for snippet in test["snippets"]})
    corpus = Corpus(tuple(Document(path, (folder / "corpus" / path).read_text()) for path in paths))
    questions = tuple(
        Question(
            f"q{number}",
            test["query"],
            evidence=tuple((Span(one["file_path"], *one["span"]),) for one in test["snippets"]),
        )
        for number, test in enumerate(tests)
    )
    return Dataset(name, corpus, questions)
