"""Two halves of real questions: does the difference of their gains lie in the interval of that difference?

Real pipelines (BM25 alone, so that nothing is embedded) are asked all questions once. Each seed deals the split units
into two halves. What one half says of a gain and what the other says differ by chance alone, so 95 of 100 differences
should lie within the interval that the two halves' errors give.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from rag_opt.cli.composing import conf_folder
from rag_opt.core.questions import Dataset
from rag_opt.data.datasets.squad import Squad
from rag_opt.data.splits import split
from rag_opt.evaluation.detectable_gain import smallest_gain
from rag_opt.evaluation.intervals import ClusterMeans
from rag_opt.evaluation.selection import correlate_scores
from rag_opt.metrics.evidence import score_evidence_recall
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.builtins import load_built_in
from rag_opt.store.artifacts import Store
from tests.benchmarks.replay_tables import SHARED, read_legal_bench

SEEDS = range(20)
_MOST_QUESTIONS = 2000
_PRICE = 0.05  # of 1,000 tokens of context
_CHUNKERS = [{"recursive": {"size": size}} for size in (64, 128, 224)] + [{"sentence": {"size": 160}}]
_RETRIEVERS = [{"lexical": {"top_k": k, "k1": k1}} for k in (2, 5, 10) for k1 in (0.9, 1.5)]
_REST = {
    "embedder": {"model": {"name": "minilm"}},
    "reranker": {"none": {}},
    "packer": {"ranked": {"context_tokens": 3000}},
    "generator": {"extractive": {}},
}
DATASETS: dict[str, Callable[[], Dataset]] = {
    "SQuAD": lambda: Squad(file=str(SHARED / "squad" / "dev-v2.0.json")).read(),
    "ContractNLI": lambda: read_legal_bench("contractnli"),
}


def measure() -> list[tuple[str, str, str]]:
    load_built_in(["objectives"])
    return [row for name, read in DATASETS.items() for row in _measure_dataset(name, read())]


def _measure_dataset(name: str, dataset: Dataset) -> list[tuple[str, str, str]]:
    asked = [question for question in dataset.questions if question.answerable and question.evidence]
    places = np.unique(np.linspace(0, len(asked) - 1, _MOST_QUESTIONS).astype(int))
    questions = [asked[i] for i in places]
    parts = split(questions, search_share=0.5)
    scores = _score(Dataset(dataset.name, dataset.corpus, tuple(questions)))
    inside = total = 0
    widths, announced = list[float](), list[float]()
    for seed in SEEDS:
        first = _deal(parts.units, seed)
        for ours in scores[1:]:
            gain = ours - scores[0]
            low, high = (_mean(gain[half], np.array(parts.units)[half]) for half in (first, ~first))
            error = float(np.hypot(low.error[0], high.error[0]))
            degrees = float(min(low.degrees[0], high.degrees[0]))
            width = float(stats.t.ppf(0.975, degrees)) * error
            inside += abs(float(low.mean[0] - high.mean[0])) <= width
            total += 1
            widths.append(float(stats.t.ppf(0.975, degrees)) * float(low.error[0]))
            correlation = correlate_scores(ours[first], scores[0][first])
            deviation = float(np.std(ours[first]))
            units = [unit for unit, is_first in zip(parts.units, first, strict=True) if is_first]
            announced.append(smallest_gain(units, correlation=correlation, deviation=deviation))
    what = (
        f"{name}, {len(questions)} questions, {parts.basis.rpartition('; ')[2]}, 20 deals x {len(scores) - 1} pipelines"
    )
    half_width, said = 100 * float(np.median(widths)), 100 * float(np.median(announced))
    return [
        (f"{what}: differences of the halves' gains within their interval", f"{inside / total:.1%}", "92 to 99 %"),
        (f"{name}: half-width of a half's gain, and the smallest gain announced", f"{half_width:.1f}, {said:.1f}", ""),
    ]


def _mean(gain: np.ndarray, units: np.ndarray) -> ClusterMeans:
    return ClusterMeans.of(gain[None], units.tolist())


def _deal(units: Sequence[str], seed: int) -> np.ndarray:
    """Return which questions are in the first half: units in a random order, until half of the questions are there."""
    names, group, sizes = np.unique(units, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    before = np.cumsum(sizes[order]) - sizes[order]
    chosen = np.zeros(len(names), bool)
    chosen[order[before < len(units) / 2]] = True
    return chosen[group]


def _score(dataset: Dataset) -> np.ndarray:
    """Return evidence recall after the price of context, [pipelines, questions]."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        builder = PipelineBuilder(dataset.corpus, store, embedder_card_library([conf_folder()]))
        columns = []
        for chunker in _CHUNKERS:
            for retriever in _RETRIEVERS:
                spec = PipelineSpec.from_dict({**_REST, "chunker": chunker, "retriever": retriever})
                found = builder.pipeline(spec).retrieve(dataset.questions)
                recall = score_evidence_recall(found.hits, dataset.questions, dataset.corpus)
                columns.append(recall - _PRICE * found.context_tokens / 1000)
        builder.close()
        store.close()
        return np.array(columns)
