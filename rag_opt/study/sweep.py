"""A sweep that proposes: every setting that only rearranges stored lists, scored on evidence in one array pass.

It never gives a trial its value. Its best settings become ordinary trials, asked and scored like any other.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rag_opt.core import strict as config
from rag_opt.core.arrays import FloatArray, IntArray
from rag_opt.core.documents import Span
from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.questions import Question
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import lookup
from rag_opt.metrics.coverage import Coverage, Gains, Pool
from rag_opt.metrics.evidence import document_gold, span_gold
from rag_opt.pipeline.ask import Pipeline
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.space.domains import Choice, Domain, Scalar
from rag_opt.study.space.space import Space, SpecDict

PROPOSED = 3
_VALUES_OF_A_RANGE = 21
_MOST_SETTINGS = 5000
_MOST_LOOKED_AT = 50_000
_CUTS = ("top_k", "per_document")  # what does not make another list


@dataclass(frozen=True)
class Sweep:
    """`columns` and `data`: a row per setting, best first. `specs`: the best as pipelines of the space, of settings
    that differ only in `top_k` the best one.

    `value` of a row is evidence recall minus the price of the context, whatever the objective is. Tokens of
    overlapping chunks and characters that two needs share count twice here, and neither a reranker nor a limit per
    document is applied: good enough to propose by, not to report.
    """

    columns: tuple[str, ...]
    data: tuple[tuple[Any, ...], ...]
    specs: tuple[SpecDict, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "data": [list(row) for row in self.data]}


def sweep(
    builder: PipelineBuilder,
    spec: PipelineSpec,
    space: Space,
    questions: Sequence[Question],
    *,
    price_per_1000_tokens: float,
) -> Sweep | None:
    """Sweep the retrievers of the space over the lists of a pipeline's index; None where no question has evidence.

    Only the lists that a hybrid of the space fuses are rearranged (without a hybrid, those of the pipeline itself):
    what is swept must not depend on what else happens to be stored. BM25 with other settings is another index.
    """
    asked = [question for question in questions if question.answerable and question.evidence]
    if not asked:
        return None
    rows: list[tuple[float, float, float, SpecDict]] = []
    for group in _grouped(builder, spec, space, asked):
        rows += group.scored(spec, price_per_1000_tokens)
    rows.sort(key=lambda row: -row[0])
    reranker = {"none": {}} if "none" in space.tree["reranker"] else spec.to_dict()["reranker"]
    specs: dict[str, SpecDict] = {}
    for _, _, _, retriever in rows:
        full = {**spec.to_dict(), "retriever": retriever, "reranker": reranker}
        made = PipelineSpec.from_dict(full).to_dict()
        ((kind, settings),) = retriever.items()
        apart = repr([kind, {name: value for name, value in settings.items() if name not in _CUTS}])
        if len(specs) < PROPOSED and apart not in specs and made in space:
            specs[apart] = made
    columns = ("retriever", "settings", "evidence_recall", "context_tokens", "value")
    return Sweep(columns, tuple(_row(*row) for row in rows), tuple(specs.values()))


def _row(value: float, recall: float, tokens: float, retriever: SpecDict) -> tuple[Any, ...]:
    ((kind, settings),) = retriever.items()
    said = config.told(lookup("retriever", kind), settings, always=("top_k",))
    words = " ".join(f"{name}={setting}" for name, setting in said.items())
    return kind, words, round(recall, 4), round(tokens, 1), round(value, 4)


@dataclass(frozen=True)
class _Group:
    """Settings that rearrange the same lists: `parts` with the values of `top_k` that each is cut at."""

    pipeline: Pipeline
    questions: Sequence[Question]
    lists: Mapping[str, RankedLists]
    parts: Sequence[tuple[str, Any, Sequence[int]]]

    def scored(self, spec: PipelineSpec, price: float) -> Iterator[tuple[float, float, float, SpecDict]]:
        """(value, evidence recall, context tokens, retriever) of every setting."""
        pool, chunks, corpus = Pool.of(self.lists), self.pipeline.chunks, self.pipeline.corpus
        gold = span_gold(self.questions, corpus), document_gold(self.questions, corpus)
        table = (chunks.document, *self.pipeline.returned)
        coverage = Coverage.of(pool, *table, spans=gold[0], documents=gold[1])
        sizes = token_counts(pool, self.pipeline)
        budget = getattr(spec.packer, "context_tokens", np.inf)
        deepest = max(max(cuts) for _, _, cuts in self.parts)
        gains: list[Gains] = [part.gains(self.lists) for _, part, _ in self.parts]
        for block, order in pool.orders(gains, deepest):
            tokens = np.where(order >= 0, np.take_along_axis(sizes[None], np.maximum(order, 0), 2), 0).cumsum(axis=2)
            fits = tokens <= budget
            recall = np.nanmean(coverage.recall(np.where(fits, order, -1)), axis=1)
            packed = np.maximum.accumulate(np.where(fits, tokens, 0), axis=2).mean(axis=1)
            for number, (kind, part, cuts) in enumerate(self.parts[block]):
                for cut in cuts:
                    at = min(cut, recall.shape[1]) - 1
                    value = float(recall[number, at] - price * packed[number, at] / 1000)
                    settings = {**config.dump(part), "top_k": cut}
                    yield value, float(recall[number, at]), float(packed[number, at]), {kind: settings}


def _grouped(
    builder: PipelineBuilder, spec: PipelineSpec, space: Space, questions: Sequence[Question]
) -> Iterator[_Group]:
    """The settings of the space by the lists that they rearrange."""
    # the kinds by turns, so that where there are too many settings no kind is left out
    turns = itertools.zip_longest(*_retrievers(space))
    found = list(itertools.islice((one for turn in turns for one in turn if one is not None), _MOST_LOOKED_AT))
    hybrids = [_lists(part) for _, part, _ in found if len(part.index_queries()) > 1] or [_lists(spec.retriever)]
    fused = frozenset[str]().union(*hybrids)
    groups: dict[frozenset[str], list[tuple[str, Any, Sequence[int]]]] = {}
    fitting = ((kind, part, cuts) for kind, part, cuts in found if _lists(part) <= fused)
    for kind, part, cuts in itertools.islice(fitting, _MOST_SETTINGS):
        groups.setdefault(_lists(part), []).append((kind, part, cuts))
    for parts in groups.values():
        here = PipelineSpec.from_dict({**spec.to_dict(), "retriever": {parts[0][0]: config.dump(parts[0][1])}})
        try:
            pipeline = builder.pipeline(here)
        except ImpossiblePipeline:  # the rest of the pipeline does not go with these lists
            continue
        yield _Group(pipeline, questions, pipeline.lists(questions), parts)


def _lists(retriever: Any) -> frozenset[str]:
    """The lists that a retriever fetches, in words: name, index, all settings and depth."""
    return frozenset(f"{name}: {index_query!r}" for name, index_query in retriever.index_queries().items())


def _retrievers(space: Space) -> list[Iterator[tuple[str, Any, Sequence[int]]]]:
    """Per kind whose part sums `gains`: (kind, part, values of top_k) for every combination of the other settings."""
    kinds = space.tree["retriever"].items()
    return [_settings_of(kind, parameters) for kind, parameters in kinds if hasattr(lookup("retriever", kind), "gains")]


def _settings_of(kind: str, parameters: Mapping[str, Domain]) -> Iterator[tuple[str, Any, Sequence[int]]]:
    part = lookup("retriever", kind)
    cuts = [int(v) for v in _values(parameters.get("top_k", Choice((part().top_k,)))) if isinstance(v, (int, float))]
    others = {name: _values(domain) for name, domain in parameters.items() if name != "top_k"}
    for values in itertools.product(*others.values()):
        with contextlib.suppress(ValueError):  # a rule between settings that only the part knows
            yield kind, part(top_k=max(cuts), **dict(zip(others, values, strict=True))), cuts


def _values(domain: Domain) -> list[Scalar]:
    """All values of a choice or of a short range; of a long or continuous one some, evenly spaced."""
    if isinstance(domain, Choice):
        return list(domain.values)
    if domain.continuous:
        return [domain.clean(float(v)) for v in np.linspace(domain.low, domain.high, _VALUES_OF_A_RANGE)]
    count = len(domain)
    picked = np.unique(np.linspace(0, count - 1, min(count, _VALUES_OF_A_RANGE)).round().astype(int))
    return [domain.at(int(index)) for index in picked]


def token_counts(pool: Pool, pipeline: Pipeline) -> FloatArray:
    """[questions, width]: size of each candidate in tokens of the budget."""
    chunks, names = pipeline.chunks, pipeline.corpus.ids
    used: IntArray = np.unique(pool.chunks[pool.chunks >= 0])
    counts, (start, end) = np.zeros(len(chunks) + 1), pipeline.returned
    for row in used.tolist():
        span = Span(names[chunks.document[row]], int(start[row]), int(end[row]))
        counts[row] = pipeline.texts.tokens(span)
    return counts[pool.chunks]
