"""A sweep that proposes: every setting that only rearranges stored lists, scored on evidence in one array pass.

It never gives a trial its value. Its best settings become ordinary trials, asked and scored like any other.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np

from rag_opt.core import strict
from rag_opt.core.arrays import FloatArray, IntArray
from rag_opt.core.documents import Span
from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.questions import Question
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import lookup
from rag_opt.metrics.candidates import CandidatePool, EvidenceFound, Gains
from rag_opt.metrics.evidence import build_document_gold, build_span_gold
from rag_opt.parts.interfaces import ModelIndex, Retriever, SweepableRetriever
from rag_opt.pipeline.ask import Pipeline
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.normal_form import without_unread_vectors
from rag_opt.pipeline.spec import PipelineSpec, SpecDict
from rag_opt.study.space.domains import Choice, Domain, Scalar
from rag_opt.study.space.space import Space

PROPOSED = 3
_VALUES_OF_A_RANGE = 21
_MOST_SETTINGS = 5000
_MOST_LOOKED_AT = 50_000
_LIMITS = ("top_k", "per_document")  # settings that do not make another list

Row = tuple[str, str, float, float, float]
COLUMNS = ("retriever", "settings", "evidence_recall", "context_tokens", "value")


@dataclass(frozen=True)
class Sweep:
    """Outcome of a sweep.

    `data`: a row of `COLUMNS` per setting, best first. `specs`: the best as pipelines of the space; of settings that
    differ only in `top_k` the best one.

    `value` of a row is evidence recall minus the price of the context, whatever the objective is. Tokens of
    overlapping chunks and characters that two needs share count twice here, and neither a reranker nor a limit per
    document is applied: good enough to propose by, not to report.
    """

    data: tuple[Row, ...]
    specs: tuple[SpecDict, ...]

    def to_dict(self) -> dict[str, object]:
        """Return plain data for JSON, without the pipelines."""
        return {"columns": list(COLUMNS), "data": [list(row) for row in self.data]}


class _Candidate(NamedTuple):
    """A retriever with all its settings but `top_k`, and the values of `top_k` that its list is cut at."""

    kind: str
    part: SweepableRetriever
    cuts: Sequence[int]


class _Scored(NamedTuple):
    value: float
    recall: float
    tokens: float
    retriever: dict[str, dict[str, object]]


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
    there = builder.readings.localise(spec.reader, questions)
    with_evidence = [question for question in there if question.answerable and question.evidence]
    if not with_evidence:
        return None
    scored: list[_Scored] = []
    for group in _group_by_lists(builder, spec, space, with_evidence):
        scored += group.score(spec, price_per_1000_tokens)
    scored.sort(key=lambda one: -one.value)
    return Sweep(tuple(_row(one) for one in scored), tuple(_choose_specs(scored, spec, space)))


def _choose_specs(scored: Sequence[_Scored], spec: PipelineSpec, space: Space) -> list[SpecDict]:
    """Return the best pipelines of the space whose lists differ."""
    specs: dict[str, SpecDict] = {}
    for one in scored:
        full = _swept(spec, one.retriever, space).to_dict()
        ((kind, settings),) = one.retriever.items()
        differs_by = repr([kind, {name: value for name, value in settings.items() if name not in _LIMITS}])
        if len(specs) < PROPOSED and differs_by not in specs and full in space:
            specs[differs_by] = full
    return list(specs.values())


def _swept(spec: PipelineSpec, retriever: Mapping[str, object], space: Space) -> PipelineSpec:
    """Return the pipeline with another retriever, and without a reranker if the space knows that."""
    full = spec.to_dict()
    reranker = {"none": {}} if "none" in space.tree["reranker"] else full["reranker"]
    return without_unread_vectors(PipelineSpec.from_dict({**full, "retriever": retriever, "reranker": reranker}))


def _row(scored: _Scored) -> Row:
    ((kind, settings),) = scored.retriever.items()
    shown = strict.drop_defaults(lookup("retriever", kind), settings, always=("top_k",))
    words = " ".join(f"{name}={setting}" for name, setting in shown.items())
    return kind, words, round(scored.recall, 4), round(scored.tokens, 1), round(scored.value, 4)


@dataclass(frozen=True)
class _Group:
    """Candidates that rearrange the same lists."""

    pipeline: Pipeline
    questions: Sequence[Question]
    lists: Mapping[str, RankedLists]
    candidates: Sequence[_Candidate]

    def score(self, spec: PipelineSpec, price: float) -> Iterator[_Scored]:
        """Yield the score of every setting. `price`: what 1,000 tokens of context take off the recall."""
        pool, chunks, corpus = CandidatePool.from_lists(self.lists), self.pipeline.chunks, self.pipeline.corpus
        spans, documents = build_span_gold(self.questions, corpus), build_document_gold(self.questions, corpus)
        coverage = EvidenceFound.from_pool(
            pool, chunks.document, *self.pipeline.returned, spans=spans, documents=documents
        )
        sizes = token_counts(pool, self.pipeline)
        deepest = max(max(candidate.cuts) for candidate in self.candidates)
        gains: list[Gains] = [candidate.part.gains(self.lists) for candidate in self.candidates]
        for block, order in pool.rank(gains, deepest):
            tokens = np.where(order >= 0, np.take_along_axis(sizes[None], np.maximum(order, 0), 2), 0).cumsum(axis=2)
            fits = tokens <= spec.packer.context_tokens
            recall = np.nanmean(coverage.recall(np.where(fits, order, -1)), axis=1)
            packed = np.maximum.accumulate(np.where(fits, tokens, 0), axis=2).mean(axis=1)
            for number, candidate in enumerate(self.candidates[block]):
                for cut in candidate.cuts:
                    last = min(cut, recall.shape[1]) - 1
                    value = float(recall[number, last] - price * packed[number, last] / 1000)
                    retriever = {candidate.kind: {**strict.dump(candidate.part), "top_k": cut}}
                    yield _Scored(value, float(recall[number, last]), float(packed[number, last]), retriever)


def _group_by_lists(
    builder: PipelineBuilder, spec: PipelineSpec, space: Space, questions: Sequence[Question]
) -> Iterator[_Group]:
    """Yield the settings of the space, grouped by the lists that they rearrange."""
    # the kinds by turns, so that where there are too many settings no kind is left out
    turns = itertools.zip_longest(*_candidates_by_kind(space))
    every = (candidate for turn in turns for candidate in turn if candidate is not None)
    candidates = list(itertools.islice(every, _MOST_LOOKED_AT))
    hybrids = [_lists_of(one.part) for one in candidates if len(one.part.index_queries()) > 1]
    fused = frozenset[str]().union(*(hybrids or [_lists_of(spec.retriever)]))
    groups: dict[frozenset[str], list[_Candidate]] = {}
    own = _lists_of(spec.retriever)  # what an index has a model of its own for is not encoded for a sweep alone
    free = fused - _lists_with_models(candidates) | own
    fitting = (candidate for candidate in candidates if _lists_of(candidate.part) <= free)
    for candidate in itertools.islice(fitting, _MOST_SETTINGS):
        groups.setdefault(_lists_of(candidate.part), []).append(candidate)
    for group in groups.values():
        retriever = {group[0].kind: strict.dump(group[0].part)}
        try:
            pipeline = builder.pipeline(_swept(spec, retriever, space))
        except ImpossiblePipeline:  # the rest of the pipeline does not go with these lists
            continue
        yield _Group(pipeline, questions, pipeline.lists(questions), group)


def _lists_with_models(candidates: Sequence[_Candidate]) -> frozenset[str]:
    """Return the lists, in words, of indexes with a model of their own."""
    queries = {f"{n}: {q!r}": q for one in candidates for n, q in one.part.index_queries().items()}
    return frozenset(
        words for words, q in queries.items() if isinstance(lookup("index", q.index)(**q.build), ModelIndex)
    )


def _lists_of(retriever: Retriever) -> frozenset[str]:
    """Return the lists that a retriever asks for, in words: name, index, all settings and depth."""
    return frozenset(f"{name}: {index_query!r}" for name, index_query in retriever.index_queries().items())


def _candidates_by_kind(space: Space) -> list[Iterator[_Candidate]]:
    """Return for each kind that can be swept its candidates: every combination of its other settings."""
    return [
        _candidates_of(kind, parameters)
        for kind, parameters in space.tree["retriever"].items()
        if isinstance(lookup("retriever", kind)(), SweepableRetriever)
    ]


def _candidates_of(kind: str, parameters: Mapping[str, Domain]) -> Iterator[_Candidate]:
    part = lookup("retriever", kind)
    top_k = parameters.get("top_k", Choice((part().top_k,)))
    cuts = [int(value) for value in _values(top_k) if isinstance(value, (int, float))]
    others = {name: _values(domain) for name, domain in parameters.items() if name != "top_k"}
    for values in itertools.product(*others.values()):
        with contextlib.suppress(ValueError):  # a rule between settings that only the part knows
            retriever = part(top_k=max(cuts), **dict(zip(others, values, strict=True)))
            yield _Candidate(kind, cast(SweepableRetriever, retriever), cuts)


def _values(domain: Domain) -> list[Scalar]:
    """Return all values of a choice or of a short range; of a long or continuous one some, evenly spaced."""
    if isinstance(domain, Choice):
        return list(domain.values)
    if domain.continuous:
        return [domain.clean(float(v)) for v in np.linspace(domain.low, domain.high, _VALUES_OF_A_RANGE)]
    count = len(domain)
    indexes = np.unique(np.linspace(0, count - 1, min(count, _VALUES_OF_A_RANGE)).round().astype(int))
    return [domain.at(int(index)) for index in indexes]


def token_counts(pool: CandidatePool, pipeline: Pipeline) -> FloatArray:
    """Return the tokens that each candidate returns, counted as budgets are, [questions, width]."""
    chunks, names = pipeline.chunks, pipeline.corpus.ids
    used: IntArray = np.unique(pool.chunks[pool.chunks >= 0])
    counts, (start, end) = np.zeros(len(chunks) + 1), pipeline.returned
    for row in used.tolist():
        span = Span(names[chunks.document[row]], int(start[row]), int(end[row]))
        counts[row] = pipeline.texts.tokens(span)
    return counts[pool.chunks]
