"""ragas: its metrics by name, and those that need no language model over many samples at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.errors import BadInput, Problem, among
from rag_opt.models.encoder import Encoder

os.environ.setdefault("RAGAS_DO_NOT_TRACK", "true")


def semantic_similarities(pairs: Sequence[tuple[str, str]], encoder: Encoder) -> FloatArray:
    """`pairs`: (reference, answer). Cosine in [-1, 1]; every text is embedded in one batch through the store."""
    if not pairs:
        return np.zeros(0)
    from ragas.embeddings.base import BaseRagasEmbedding
    from ragas.metrics.collections import SemanticSimilarity

    texts = sorted({text for pair in pairs for text in pair})
    known = dict(zip(texts, encoder.vectors(texts, "sentence"), strict=True))

    class StoredEmbedding(BaseRagasEmbedding):  # type: ignore[misc]  # ragas is untyped here
        def embed_text(self, text: str, **_: Any) -> Any:
            return known[text]

        async def aembed_text(self, text: str, **_: Any) -> Any:
            return known[text]

    metric = SemanticSimilarity(embeddings=StoredEmbedding())

    async def one(reference: str, answer: str) -> float:
        return float((await metric.ascore(reference=reference, response=answer)).value)

    return _all(one, pairs)


def rouge_scores(pairs: Sequence[tuple[str, str]]) -> FloatArray:
    """`pairs`: (reference, answer). ROUGE-L F-measure in [0, 1]."""
    if not pairs:
        return np.zeros(0)
    from ragas.metrics.collections import RougeScore

    metric = RougeScore(rouge_type="rougeL", mode="fmeasure")

    async def one(reference: str, answer: str) -> float:
        return float((await metric.ascore(reference=reference, response=answer)).value)

    return _all(one, pairs)


def id_based_scores(pairs: Sequence[tuple[list[str], list[str]]]) -> tuple[FloatArray, FloatArray]:
    """`pairs`: (returned ids, reference ids). Recall and precision in [0, 1]; precision NaN when nothing returned."""
    if not pairs:
        return np.zeros(0), np.zeros(0)
    from ragas import SingleTurnSample

    def sample(returned: list[str], wanted: list[str]) -> Any:
        return SingleTurnSample(retrieved_context_ids=returned, reference_context_ids=wanted)

    recall, precision = _older("IDBasedContextRecall"), _older("IDBasedContextPrecision")
    found = _all(lambda r, w: recall.single_turn_ascore(sample(r, w)), pairs)
    exact = np.full(len(pairs), np.nan)
    some = [row for row, (returned, _) in enumerate(pairs) if returned]
    exact[some] = _all(lambda r, w: precision.single_turn_ascore(sample(r, w)), [pairs[row] for row in some])
    return found, exact


def non_llm_context_scores(pairs: Sequence[tuple[list[str], list[str]]]) -> tuple[FloatArray, FloatArray]:
    """`pairs`: (retrieved passages, reference passages), none empty. Recall and precision in [0, 1]."""
    if not pairs:
        return np.zeros(0), np.zeros(0)
    from ragas import SingleTurnSample

    def sample(passages: list[str], references: list[str]) -> Any:
        return SingleTurnSample(retrieved_contexts=passages, reference_contexts=references)

    recall, precision = _older("NonLLMContextRecall"), _older("NonLLMContextPrecisionWithReference")
    return (
        _all(lambda p, r: recall.single_turn_ascore(sample(p, r)), pairs),
        _all(lambda p, r: precision.single_turn_ascore(sample(p, r)), pairs),
    )


def _older(name: str) -> Any:
    """A metric that ragas has only in its older API, made without its advice to use the newer one."""
    with silently():
        import ragas.metrics

        return getattr(ragas.metrics, name)()


@contextlib.contextmanager
def silently() -> Iterator[None]:
    """Without ragas' advice to use something newer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def metric_names() -> list[str]:
    """What ragas' collections offer."""
    with silently():
        import ragas.metrics.collections as offered

        found = [name for name in offered.__all__ if hasattr(getattr(offered, name), "ascore")]
    return sorted(name for name in found if name != "BaseMetric")


def metric_class(name: str) -> Any:
    """A metric of ragas' collections. Raises BadInput with the nearest name."""
    with silently():
        import ragas.metrics.collections as offered

        if name not in metric_names():
            raise BadInput([Problem("ragas", f"has no metric {name!r}{among(name, metric_names())}")])
        return getattr(offered, name)


def _all(score: Callable[..., Awaitable[float]], arguments: Sequence[tuple[Any, ...]]) -> FloatArray:
    async def run() -> list[float]:
        return [float(await score(*given)) for given in arguments]

    return np.array(asyncio.run(run()), float)
