"""Metrics of ragas by their names, and those that need no language model over many samples at once."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rag_opt.core.arrays import FloatArray, Vectors
from rag_opt.core.errors import BadInput, Problem, suggest_names

if TYPE_CHECKING:
    from rag_opt.models.encoder import Encoder

os.environ.setdefault("RAGAS_DO_NOT_TRACK", "true")

SAMPLE_FIELDS = ("user_input", "response", "retrieved_contexts", "reference", "reference_contexts")  # known here


class RagasResult(Protocol):
    """Outcome of one sample, as ragas returns it."""

    value: float


class RagasMetric(Protocol):
    """A metric of ragas' collections. `allowed_values`: lowest and highest score, by ragas."""

    name: str
    allowed_values: tuple[float, float]

    def __init__(self, **settings: object) -> None: ...

    async def ascore(self, **sample: object) -> RagasResult:
        """Return the score of one sample."""
        ...


class _SingleTurnMetric(Protocol):
    """A metric of ragas' older API."""

    async def single_turn_ascore(self, sample: object) -> float: ...


def list_metrics() -> list[str]:
    """Return the names of the metrics in ragas' collections."""
    with silence_deprecations():
        from ragas.metrics import collections

        offered = ((name, getattr(collections, name)) for name in collections.__all__)
        base = collections.BaseMetric
        return sorted(n for n, one in offered if inspect.isclass(one) and issubclass(one, base) and one is not base)


def find_metric_class(name: str) -> type[RagasMetric]:
    """Return a metric of ragas' collections. Raises BadInput with the nearest name."""
    with silence_deprecations():
        from ragas.metrics import collections

        if name not in list_metrics():
            raise BadInput([Problem("ragas", f"has no metric {name!r}{suggest_names(name, list_metrics())}")])
        metric: type[RagasMetric] = getattr(collections, name)
        return metric


def list_settings(metric: type[RagasMetric]) -> tuple[str, ...]:
    """Return the parameters that a metric is built with."""
    return tuple(inspect.signature(metric.__init__).parameters)


def list_sample_fields(metric: type[RagasMetric]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which of `SAMPLE_FIELDS` a sample may have, and all fields that it must have."""
    parameters = [p for p in list(inspect.signature(metric.ascore).parameters.values())[1:] if p.name != "kwargs"]
    required = tuple(parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty)
    return tuple(parameter.name for parameter in parameters if parameter.name in SAMPLE_FIELDS), required


@contextlib.contextmanager
def silence_deprecations() -> Iterator[None]:
    """Silence ragas' advice to use something newer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def score_semantic_similarity(pairs: Sequence[tuple[str, str]], encoder: Encoder) -> FloatArray:
    """Return the cosine of each (reference, answer), in [-1, 1]. All texts are embedded together through the store."""
    if not pairs:
        return np.zeros(0)
    from ragas.metrics.collections import SemanticSimilarity

    texts = sorted({text for pair in pairs for text in pair})
    known = dict(zip(texts, encoder.vectors(texts, "sentence"), strict=True))
    metric: RagasMetric = SemanticSimilarity(embeddings=_known_vectors(known))
    return _score_pairs(metric, pairs)


def _known_vectors(known: Mapping[str, Vectors]) -> object:
    """Return what ragas asks for vectors: here all of them are known before."""
    from ragas.embeddings.base import BaseRagasEmbedding

    class KnownVectors(BaseRagasEmbedding):  # type: ignore[misc]  # ragas is untyped here
        def embed_text(self, text: str, **_: object) -> Vectors:
            return known[text]

        async def aembed_text(self, text: str, **_: object) -> Vectors:
            return known[text]

    return KnownVectors()


def score_rouge_l(pairs: Sequence[tuple[str, str]]) -> FloatArray:
    """Return the ROUGE-L F-measure of each (reference, answer), in [0, 1]."""
    if not pairs:
        return np.zeros(0)
    from ragas.metrics.collections import RougeScore

    return _score_pairs(RougeScore(rouge_type="rougeL", mode="fmeasure"), pairs)


def _score_pairs(metric: RagasMetric, pairs: Sequence[tuple[str, str]]) -> FloatArray:
    async def score(reference: str, answer: str) -> float:
        return float((await metric.ascore(reference=reference, response=answer)).value)

    return _score_all(score, pairs)


def score_id_based(pairs: Sequence[tuple[list[str], list[str]]]) -> tuple[FloatArray, FloatArray]:
    """Return recall and precision, in [0, 1], of each (returned ids, reference ids).

    Precision is NaN where nothing was returned.
    """
    if not pairs:
        return np.zeros(0), np.zeros(0)
    from ragas import SingleTurnSample

    def sample(returned: list[str], reference: list[str]) -> object:
        return SingleTurnSample(retrieved_context_ids=returned, reference_context_ids=reference)

    recall, precision = _older_metric("IDBasedContextRecall"), _older_metric("IDBasedContextPrecision")
    recalls = _score_all(lambda *pair: recall.single_turn_ascore(sample(*pair)), pairs)
    precisions = np.full(len(pairs), np.nan)
    rows = [row for row, (returned, _) in enumerate(pairs) if returned]
    precisions[rows] = _score_all(
        lambda *pair: precision.single_turn_ascore(sample(*pair)), [pairs[row] for row in rows]
    )
    return recalls, precisions


def score_non_llm_context(pairs: Sequence[tuple[list[str], list[str]]]) -> tuple[FloatArray, FloatArray]:
    """Return recall and precision, in [0, 1], of each (retrieved passages, reference passages); none may be empty."""
    if not pairs:
        return np.zeros(0), np.zeros(0)
    from ragas import SingleTurnSample

    def sample(passages: list[str], references: list[str]) -> object:
        return SingleTurnSample(retrieved_contexts=passages, reference_contexts=references)

    recall, precision = _older_metric("NonLLMContextRecall"), _older_metric("NonLLMContextPrecisionWithReference")
    return (
        _score_all(lambda *pair: recall.single_turn_ascore(sample(*pair)), pairs),
        _score_all(lambda *pair: precision.single_turn_ascore(sample(*pair)), pairs),
    )


def _older_metric(name: str) -> _SingleTurnMetric:
    """Return a metric that ragas has only in its older API."""
    with silence_deprecations():
        import ragas.metrics

        metric: _SingleTurnMetric = getattr(ragas.metrics, name)()
        return metric


def _score_all(score: Callable[..., Awaitable[float]], arguments: Sequence[tuple[object, ...]]) -> FloatArray:
    """Return a score for each tuple of arguments."""

    async def score_in_turn() -> list[float]:
        return [float(await score(*given)) for given in arguments]

    return np.array(asyncio.run(score_in_turn()), float)
