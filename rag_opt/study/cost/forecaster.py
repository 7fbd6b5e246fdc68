"""Forecasts of what the next trials would cost: plans of pipelines, priced by what their stages took so far."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.errors import BadInput, ImpossiblePipeline
from rag_opt.core.questions import Question
from rag_opt.core.registry import kinds, lookup
from rag_opt.models.cards import common_benchmark
from rag_opt.parts.interfaces import ModelIndex, PairReranker
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.plan import Plan, Planner, Stage, expected_context_tokens
from rag_opt.pipeline.reranking import rerank_stage
from rag_opt.pipeline.spec import INDEX_SLOTS, PipelineSpec, SpecDict, part_from
from rag_opt.study.cost.model import TRIAL, CostForecast, CostModel, Costs, Prior, StageCosts, UnitCosts
from rag_opt.study.space.domains import Choice, Scalar, example_values
from rag_opt.study.space.space import Space
from rag_opt.study.trials import Trial

_TIMED_CHUNKS = 64
_PLANS_KEPT = 20_000
_ANSWER = "answer "
_CONTEXT_SLOTS = ("retriever", "chunker", "packer")  # what decides how much a generator reads
_NEVER_SHARED = ("rewrite ", "rerank ", _ANSWER)  # what every other pipeline needs anew


def model_names(space: Space) -> list[str]:
    """Return the names of the embedding models that the space can choose, each once."""
    names: list[Scalar] = []
    for kind, parameters in space.tree["embedder"].items():
        if kind == "none":
            continue
        domain = parameters.get("name")
        names += domain.values if isinstance(domain, Choice) else [lookup("embedder", kind)().name]
    return [str(name) for name in dict.fromkeys(names)]


def find_model_indexes(space: Space) -> Iterator[tuple[str, ModelIndex]]:
    """Yield an index for each model that a retriever of the space can name for one, with the path of the setting."""
    for kind, parameters in space.tree["retriever"].items():
        part: type[Any] = lookup("retriever", kind)
        for setting in ("name", "words"):
            domain = parameters.get(setting)
            for value in domain.values if isinstance(domain, Choice) else ():
                queries = part(**{setting: value}).index_queries().values()
                for index in (lookup("index", query.index)(**query.build) for query in queries):
                    if isinstance(index, ModelIndex):
                        yield f"space.retriever.{kind}.{setting}", index


def find_pair_rerankers(space: Space) -> Iterator[tuple[str, PairReranker]]:
    """Yield a part for each model that a reranker of the space can name, with the path of the setting."""
    for kind, parameters in space.tree["reranker"].items():
        part: type[Any] = lookup("reranker", kind)
        example = part(**{name: example_values(domain)[0] for name, domain in parameters.items()})
        if not isinstance(example, PairReranker):
            continue
        domain = parameters.get("name", Choice((example.name,)))
        for name in domain.values if isinstance(domain, Choice) else ():
            yield f"space.reranker.{kind}.name", part(name=name)


def time_model(builder: PipelineBuilder, spec: PipelineSpec, name: str) -> StageCosts:
    """Return tokens and seconds of some chunks of a pipeline through one model; run once, then read off the store."""
    texts = builder.pipeline(spec).chunks.texts(builder.readings.corpus(spec.reader))
    encoder = builder.encoder(name)
    chunks = list(dict.fromkeys(texts[i] for i in np.linspace(0, len(texts) - 1, _TIMED_CHUNKS).astype(int)))
    _, took_ms = encoder.timed_vectors(chunks, "document")
    tokens = np.minimum(encoder.tokenizer.lengths(chunks), encoder.card.reads_tokens).sum()
    return {encoder.stage("document"): (float(tokens), float(took_ms.sum()) / 1000)}


class CostForecaster:
    """Makes the cost forecast of every ask.

    `expected`: what earlier studies expect of pipelines (`transfer.Expectations.mean`).
    """

    def __init__(
        self,
        builder: PipelineBuilder,
        space: Space,
        questions: Sequence[Question],
        baseline: PipelineSpec,
        *,
        expected: Callable[[Sequence[SpecDict]], FloatArray] | None = None,
    ) -> None:
        self._builder, self._space, self._questions, self._baseline = builder, space, questions, baseline
        self._expected = expected
        self._planner = Planner(builder, questions)
        self._model_costs: list[StageCosts] | None = None
        self._done: set[str] = set()
        self._trials_counted = 0
        self._lists: dict[str, str | None] = {}
        self._outlines: dict[str, Plan] = {}
        cards = {name: builder.encoder(name).card for name in model_names(space)}
        benchmark = common_benchmark(cards.values(), builder.corpus.language)
        self.priors = {
            name: Prior(card.id, card.parameters_millions, card.published_score(benchmark))
            for name, card in cards.items()
        }
        by_llm = {f"{_ANSWER}{kind}" for kind in kinds("generator") if lookup("generator", kind).uses_llm}
        weighing = [index.find_card(builder.rerankers, builder.cards) for _, index in find_model_indexes(space)]
        millions = {card.id: card.computing_millions for card in (*cards.values(), *weighing)}
        for _, part in find_pair_rerankers(space):
            with contextlib.suppress(BadInput, ImpossiblePipeline):  # reported before a search
                card = part.find_card(builder.rerankers, builder.cards)
                millions[rerank_stage(part).removeprefix("rerank ")] = card.computing_millions
        self._unit_costs = UnitCosts(millions, by_llm=by_llm)

    def cost_forecast(self, trials: Sequence[Trial], *, spent: float, paid: Literal["study", "store"]) -> CostForecast:
        """Return the forecast after some trials.

        `spent`: share of the budget. `paid`: whose work costs nothing any more, this study's (then seconds are those of
        a table, so that the same seed finds the same on every machine) or all that is stored (then measured seconds).
        """
        for cache in (self._lists, self._outlines):
            if len(cache) > _PLANS_KEPT:  # a long study over continuous settings
                cache.clear()
        costs: Costs = self._unit_costs
        if paid == "store":
            if self._model_costs is None:
                self._model_costs = [self._time_model(name) for name in self.priors]
            costs = CostModel([*self._model_costs, *(trial.made for trial in trials)])
        for trial in trials[self._trials_counted :]:
            if trial.made:
                outline = self._planner.outline(PipelineSpec.from_dict(trial.spec))
                self._done |= {stage.name + stage.key for stage in outline.stages}
        self._trials_counted = len(trials)
        missing = self._not_done if paid == "study" else self._not_stored
        work = _MissingWork(missing, self._lists, len(self._questions))
        return CostForecast(work, costs, spent, self.priors, self._expected)

    def _time_model(self, name: str) -> StageCosts:
        try:
            return time_model(self._builder, self._baseline, name)
        except Exception:  # a model that does not run fails in its own trials, with its reason
            return {}

    def _not_done(self, key: str, spec: SpecDict) -> Sequence[Stage]:
        """Return the stages that no trial of the study has done. `key` is equal for all that need the same stages."""
        if key not in self._outlines:
            self._outlines[key] = self._planner.outline(PipelineSpec.from_dict(spec))
        return [
            stage
            for stage in self._outlines[key].stages
            if stage.name.startswith(_NEVER_SHARED) or stage.name + stage.key not in self._done
        ]

    def _not_stored(self, key: str, spec: SpecDict) -> Sequence[Stage]:
        return self._planner.plan(PipelineSpec.from_dict(spec)).missing


class _MissingWork:
    """Missing work of pipelines as of now. Those that differ only in what rearranges lists are planned once.

    `lists`: by retriever the ranked lists that it asks for, None where it cannot exist. `questions`: their number.
    """

    def __init__(
        self, missing: Callable[[str, SpecDict], Sequence[Stage]], lists: dict[str, str | None], questions: int
    ) -> None:
        self._missing, self._lists, self._questions = missing, lists, questions
        self._planned: dict[str, list[tuple[str, float]]] = {}
        self._context_tokens: dict[str, float] = {}

    def __call__(self, spec: SpecDict) -> Iterator[tuple[str, float]]:
        yield TRIAL, 1.0
        retriever = repr(spec["retriever"])
        if retriever not in self._lists:
            try:
                part = part_from("retriever", spec["retriever"], where="retriever")
                self._lists[retriever] = repr(part.index_queries())
            except BadInput:  # a rule between settings that only the part knows
                self._lists[retriever] = None
        if self._lists[retriever] is None:
            yield "impossible", math.inf
            return
        key = repr(
            [
                *(spec.get(slot) for slot in INDEX_SLOTS),
                spec.get("query"),
                self._lists[retriever],
                spec["reranker"],
                next(iter(spec["generator"])),
            ]
        )
        if key not in self._planned:
            try:
                self._planned[key] = [(stage.name, stage.work) for stage in self._missing(key, spec)]
            except (ImpossiblePipeline, BadInput):
                self._planned[key] = [("impossible", math.inf)]
        for name, work in self._planned[key]:
            yield name, self._answer_work(spec) if name.startswith(_ANSWER) else work

    def _answer_work(self, spec: SpecDict) -> float:
        """Return the work of answering, which differs among pipelines that need the same lists."""
        key = repr([spec[slot] for slot in _CONTEXT_SLOTS])
        if key not in self._context_tokens:
            retriever, chunker, packer = (part_from(slot, spec[slot], where=slot) for slot in _CONTEXT_SLOTS)
            self._context_tokens[key] = expected_context_tokens(retriever, chunker, packer)
        return self._questions * self._context_tokens[key]
