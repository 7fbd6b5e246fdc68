"""What the next trials would cost: plans of the workshop, priced by what its stages took so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from rag_opt.core.errors import BadInput, ImpossiblePipeline
from rag_opt.core.questions import Question
from rag_opt.core.registry import lookup
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.plan import Plan, Planner, Stage
from rag_opt.pipeline.spec import PipelineSpec, part_from
from rag_opt.study.cost.model import TRIAL, CostForecast, CostModel, Prior, Stages
from rag_opt.study.space.domains import Choice
from rag_opt.study.space.space import Space, SpecDict
from rag_opt.study.trials import Trial

PROBED_CHUNKS = 64
_MOST_KEPT = 20_000
_ALWAYS = ("rewrite ", "rerank ", "answer ")  # what every other pipeline needs anew
Retriever = str | None  # the lists that it fetches; None: it cannot exist


def model_names(space: Space) -> list[str]:
    """The names of the cards that the space can choose."""
    names: list[Any] = []
    for kind, parameters in space.tree["embedder"].items():
        domain = parameters.get("name")
        names += domain.values if isinstance(domain, Choice) else [lookup("embedder", kind)().name]
    return [str(name) for name in dict.fromkeys(names)]


def probe(builder: PipelineBuilder, spec: PipelineSpec, name: str) -> Stages:
    """Tokens and seconds of some chunks of a pipeline through one model; run once, then read off the store."""
    texts = builder.pipeline(spec).chunks.texts(builder.corpus)
    encoder = builder.encoder(name)
    some = list(dict.fromkeys(texts[i] for i in np.linspace(0, len(texts) - 1, PROBED_CHUNKS).astype(int)))
    _, took_ms = encoder.timed_vectors(some, "document")
    tokens = np.minimum(encoder.tokenizer.lengths(some), encoder.card.reads_tokens).sum()
    return {encoder.stage("document"): (float(tokens), float(took_ms.sum()) / 1000)}


class CostForecaster:
    """Makes the outlook of every ask. Models of the space that were never run are probed on the first."""

    def __init__(
        self,
        builder: PipelineBuilder,
        space: Space,
        questions: Sequence[Question],
        baseline: PipelineSpec,
        *,
        studied: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self._builder, self._space, self._questions, self._baseline = builder, space, questions, baseline
        self._planner = Planner(builder, questions)
        self._probes: list[Stages] | None = None
        self._done: set[str] = set()
        self._counted = 0
        self._retrievers: dict[str, Retriever] = {}
        self._outlines: dict[str, Plan] = {}
        cards = {name: builder.encoder(name).card for name in model_names(space)}
        self.priors = {
            name: Prior(card.id, card.parameters_millions, card.prior_quality, studied.get(name))
            for name, card in cards.items()
        }

    def cost_forecast(self, trials: Sequence[Trial], *, spent: float, paid: Literal["study", "store"]) -> CostForecast:
        """`spent`: share of the budget. `paid`: whose work needs no paying, this study's or all that is stored."""
        if self._probes is None:
            self._probes = [self._probe(name) for name in self.priors]
        for cache in (self._retrievers, self._outlines):
            if len(cache) > _MOST_KEPT:  # a long study over continuous settings
                cache.clear()
        costs = CostModel([*self._probes, *(trial.made for trial in trials)])
        for trial in trials[self._counted :]:
            if trial.made:
                outline = self._planner.outline(PipelineSpec.from_dict(trial.spec))
                self._done |= {stage.name + stage.key for stage in outline.stages}
        self._counted = len(trials)
        missing = self._not_done if paid == "study" else self._not_stored
        return CostForecast(_Work(missing, self._retrievers), costs, spent, self.priors)

    def _probe(self, name: str) -> Stages:
        try:
            return probe(self._builder, self._baseline, name)
        except Exception:  # a model that does not run fails in its own trials, with its reason
            return {}

    def _not_done(self, key: str, spec: SpecDict) -> Sequence[Stage]:
        """What of a pipeline no trial of the study has done; `key`: the same for all that need the same."""
        if key not in self._outlines:
            self._outlines[key] = self._planner.outline(PipelineSpec.from_dict(spec))
        stages = self._outlines[key].stages
        return [one for one in stages if one.name.startswith(_ALWAYS) or one.name + one.key not in self._done]

    def _not_stored(self, key: str, spec: SpecDict) -> Sequence[Stage]:
        return self._planner.plan(PipelineSpec.from_dict(spec)).missing


class _Work:
    """The missing work of pipelines as of now; those that differ only in what rearranges lists are planned once."""

    def __init__(self, missing: Callable[[str, SpecDict], Sequence[Stage]], retrievers: dict[str, Retriever]) -> None:
        self._missing, self._retrievers = missing, retrievers
        self._planned: dict[str, list[tuple[str, float]]] = {}

    def __call__(self, spec: SpecDict) -> Iterator[tuple[str, float]]:
        yield TRIAL, 1.0
        written = repr(spec["retriever"])
        if written not in self._retrievers:
            try:
                part = part_from("retriever", spec["retriever"], where="retriever")
                self._retrievers[written] = repr(part.index_queries())
            except BadInput:  # a rule between settings that only the part knows
                self._retrievers[written] = None
        if self._retrievers[written] is None:
            yield "impossible", math.inf
            return
        reranks, answers = spec["reranker"], next(iter(spec["generator"]))
        query = spec.get("query")
        key = repr([spec["chunker"], spec["embedder"], query, self._retrievers[written], reranks, answers])
        if key not in self._planned:
            try:
                self._planned[key] = [(stage.name, stage.work) for stage in self._missing(key, spec)]
            except (ImpossiblePipeline, BadInput):
                self._planned[key] = [("impossible", math.inf)]
        yield from self._planned[key]
