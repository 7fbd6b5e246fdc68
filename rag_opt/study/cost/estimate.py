"""What a search would cost, before it is begun: searches played with made-up scores, priced by a probe.

The real sampler proposes pipelines for scores drawn from an additive prior; what the missing stages of each would take
is added up.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import optuna

from rag_opt.core.documents import Span
from rag_opt.core.errors import RagOptError
from rag_opt.core.questions import Question
from rag_opt.models.encoder import Encoder
from rag_opt.pipeline.plan import Plan, Planner, Stage
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.cost.model import CostForecast, CostModel
from rag_opt.study.cost.probe import Probed, probe, unlike
from rag_opt.study.references import reference_pipelines
from rag_opt.study.samplers.interfaces import Proposal, ReadsCosts
from rag_opt.study.samplers.proposals import new_proposal, spec_digest
from rag_opt.study.samplers.surrogate import Features
from rag_opt.study.search import Search
from rag_opt.study.space.space import Space, SpecDict
from rag_opt.study.sweep import PROPOSED
from rag_opt.study.trials import Trial, freeze

_PLAYED, _REDRAWS = 3, 5
_MOST_ASKED = 20  # times the trials: where hardly a pipeline can exist
_BOOKKEEPING_SECONDS = 0.05  # of a trial beside its evaluation: committing it, its rows, MLflow (docs/benchmarks.md)
_UNCERTAIN = 1.15  # factor by which what was probed may be off either way
_USUAL_CONTEXT_TOKENS = 200  # of a chunk whose chunker has no size
_SENTENCES_LOOKED_UP = 500
_SAME_PLACE = 2.8  # so many contexts come from the same place
_UNLIKE = 0.2  # of a context is new to a question when another kind of pipeline, or other chunks, showed as much before
_ANSWERED = 0.7  # of a pipeline's answers an earlier search of the same data has compared
_SWEEP_SECONDS = 0.3  # of an index


class Interval(NamedTuple):
    low: float
    middle: float
    high: float

    @staticmethod
    def of(values: Sequence[float], *, factor: float = 1.0) -> Interval:
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95]).tolist()
        return Interval(low / factor, middle, high * factor)


@dataclass(frozen=True)
class Estimate:
    """`seconds` of the whole search, and of it by stage (their medians); counts of what would be built and run."""

    seconds: Interval
    by_stage: dict[str, float]
    indexes: Interval
    texts: Interval
    tokens: Interval
    trials: int


def estimate(search: Search, held_out: Sequence[Question], *, finalists: int, startup_seconds: float) -> Estimate:
    """Takes some seconds. Nothing is put into the search's own store but what a probe of its models leaves there."""
    probed = probe(search)
    played = [_play(search, held_out, finalists, probed, seed) for seed in range(_PLAYED)]
    names = dict.fromkeys(name for one in played for name in one.seconds)
    return Estimate(
        seconds=Interval.of([startup_seconds + sum(one.seconds.values()) for one in played], factor=_UNCERTAIN),
        by_stage={"start": startup_seconds}
        | {name: float(np.median([one.seconds.get(name, 0.0) for one in played])) for name in names},
        indexes=Interval.of([one.indexes for one in played]),
        texts=Interval.of([one.texts for one in played]),
        tokens=Interval.of([one.tokens for one in played]),
        trials=round(float(np.median([one.trials for one in played]))),
    )


@dataclass
class _Played:
    """A search that was only played: seconds by family of stages, and what would have been built and run."""

    seconds: dict[str, float] = field(default_factory=dict)
    indexes: int = 0
    texts: float = 0.0
    tokens: float = 0.0
    trials: int = 0


class _Player:
    """Plays pipelines: plans them against the real store and what was played since, and adds up the seconds."""

    def __init__(self, search: Search, questions: Sequence[Question], costs: CostModel, answer_tokens: float) -> None:
        self.played = _Played()
        self.costs = costs
        self._builder, self._planner = search.builder, Planner(search.builder, questions)
        self._questions, self._answer_tokens = len(questions), answer_tokens
        self._specs: list[SpecDict] = []
        self._plans: dict[str, Plan] = {}
        self._done: set[str] = set()
        self._stored: dict[str, float] = {}  # share of the corpus's sentences that was stored before, by stage
        self._read: dict[str, float] = {}  # share of the corpus whose sentences were compared, by stage
        self._shown: dict[str, float] = {}  # tokens of context that a question was shown, by stage
        self._kinds: set[str] = set()

    def asks(self, questions: Sequence[Question], costs: CostModel) -> _Player:
        """Another that goes on with what this one built, for other questions."""
        other = copy.copy(self)
        other.costs, other._planner, other._questions = costs, Planner(self._builder, questions), len(questions)
        other._plans, other._done = {}, {key for key in self._done if not key.startswith("search ")}
        other._shown, other._kinds, other._specs = {}, set(), []
        return other

    def missing(self, spec: SpecDict) -> list[Stage]:
        """Raises ImpossiblePipeline and BadInput."""
        written = repr(spec)
        if written not in self._plans:
            self._plans[written] = self._planner.plan(PipelineSpec.from_dict(spec))
        return [stage for stage in self._plans[written].missing if stage.name + stage.key not in self._done]

    def play(self, spec: SpecDict) -> None:
        """Raises ImpossiblePipeline and BadInput."""
        for stage in self.missing(spec):
            self._done.add(stage.name + stage.key)
            self._work(stage.name, stage.work)
            self.played.indexes += stage.name.startswith("index ")
            if stage.name.startswith("embed "):
                self.played.texts += stage.missing
        self._compare(PipelineSpec.from_dict(spec))
        self._work("rest", float(self._questions))
        self.spend("rest", _BOOKKEEPING_SECONDS)

    def spend(self, what: str, seconds: float) -> None:
        self.played.seconds[what] = self.played.seconds.get(what, 0.0) + seconds

    def spent(self, tried: int, search: Search) -> float:
        """Share of the budget."""
        minutes = sum(self.played.seconds.values()) / 60 / search.minutes if search.minutes else 0.0
        return max(tried / search.trials, minutes)

    def _work(self, stage: str, work: float) -> None:
        family = stage.partition(" ")[0]
        if family in ("embed", "compare"):
            self.played.tokens += work
        self.spend(family, self.costs.seconds(stage, work))

    def _compare(self, spec: PipelineSpec) -> None:
        """Sentences of contexts that no pipeline showed yet, and answers."""
        if "vectors" not in spec.generator.requires:
            return
        encoder = self._builder.encoder(spec.embedder)
        stage, corpus = encoder.stage("sentence"), self._builder.corpus_tokens(encoder)
        size = getattr(spec.chunker, "size", _USUAL_CONTEXT_TOKENS)
        context = min(spec.retriever.top_k * size, spec.packer.context_tokens)
        if stage not in self._stored:
            self._stored[stage] = self._read[stage] = self._share_stored(encoder)
        more = self._new_to_a_question(stage, spec, context)
        # as many places as there are contexts, drawn with repetition: of what is left, this share is new
        new = (1 - self._read[stage]) * -math.expm1(-self._questions * more / corpus / _SAME_PLACE)
        self._read[stage] += new
        # the ideal answers too; and where sentences were compared before, so were many answers made of them
        others = unlike(full := spec.to_dict(), self._specs) + (not self._specs)
        self._specs.append(full)
        answers = self._questions * self._answer_tokens * others * (1 - _ANSWERED * self._stored[stage])
        self._work(stage, new * corpus + answers)

    def _new_to_a_question(self, stage: str, spec: PipelineSpec, context: float) -> float:
        """Tokens of a context that no earlier pipeline showed for the same question: most of it they did."""
        before = self._shown.get(stage, 0.0)
        kind = f"{stage} {spec.chunker!r} {spec.retriever.kind} {spec.reranker.kind}"
        elsewhere = _UNLIKE * min(before, context) if kind not in self._kinds else 0.0
        self._kinds.add(kind)
        self._shown[stage] = max(before, context) + elsewhere
        return self._shown[stage] - before

    def _share_stored(self, encoder: Encoder) -> float:
        """How many of the corpus's sentences an earlier search has compared, by some of them."""
        texts, some = self._builder.texts, list[str]()
        for document in self._builder.corpus.documents:
            whole = Span(document.id, 0, len(document.text))
            found = texts.sentences(whole, tokenizer=encoder.tokenizer, most_tokens=encoder.document_tokens)
            some += [texts.of(span) for span in found]
            if len(some) >= _SENTENCES_LOOKED_UP:
                break
        keys = set(encoder.keys(some, "sentence"))
        return len(self._builder.store.values.known("vectors", list(keys))) / max(len(keys), 1)


def _play(search: Search, held_out: Sequence[Question], finalists: int, probed: Probed, seed: int) -> _Played:
    """One search, from the reference pipelines to the finalists."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    player = _Player(search, search.questions, CostModel(probed.trials), probed.answer_tokens)
    study, cost_forecaster = optuna.create_study(direction="maximize"), search.new_cost_forecaster()
    score, seen, tried = _made_up(search.space, seed), set[str](), list[Trial]()
    waiting = [spec.to_dict() for spec in reference_pipelines(search.baseline).values()]
    sweeps = _Sweeps(search, seed)
    while (spent := player.spent(len(tried), search)) < 1 and len(seen) < _MOST_ASKED * search.trials:
        if waiting:
            proposal: Proposal | None = Proposal(waiting.pop(0))
        else:
            started, cost_forecast = time.perf_counter(), CostForecast()
            if isinstance(search.sampler, ReadsCosts):
                asked = cost_forecaster.cost_forecast(tried, spent=spent, paid=search.sampler.paid)
                cost_forecast = replace(asked, costs=player.costs)
            seeds = [seed, len(seen)]
            proposal = new_proposal(
                search.sampler, search.space, study, seeds, seen=seen, cost_forecast=cost_forecast, redraws=_REDRAWS
            )
            player.spend("ask", time.perf_counter() - started)
        if proposal is None:
            break
        if spec_digest(proposal.spec) in seen:
            continue
        seen.add(spec_digest(proposal.spec))
        try:
            player.play(proposal.spec)
        except RagOptError:  # it cannot exist: pruned, at no cost
            continue
        full = PipelineSpec.from_dict(proposal.spec).to_dict()
        made = {"played": (1.0, 1.0)}
        tried.append(Trial(len(tried), "COMPLETE", full, "played", value=score(full), made=made))
        if proposal.trial is not None:
            study.tell(proposal.trial, tried[-1].value)
        else:
            study.add_trial(freeze(tried[-1], search.space))
        waiting += sweeps.proposed(tried, player)
    player.played.trials = len(tried)
    final = player.asks(held_out or search.questions, CostModel(probed.finals))
    for trial in sorted(tried, key=lambda trial: -(trial.value or 0.0))[: finalists + 1]:
        final.play(trial.spec)
    return player.played


class _Sweeps:
    """What sweeps would propose when an index is new: some retrievers. Lists that could tell which are not there."""

    def __init__(self, search: Search, seed: int) -> None:
        self._search, self._random, self._swept = search, np.random.default_rng(seed), set[str]()

    def proposed(self, tried: Sequence[Trial], player: _Player) -> list[SpecDict]:
        space, last = self._search.space, tried[-1].spec
        index = repr([last[slot] for slot in ("chunker", "embedder")])
        dense = "dense" in PipelineSpec.from_dict(last).retriever.index_queries()
        if not self._search.sweep or index in self._swept or not dense or last not in space:
            return []
        self._swept.add(index)
        player.spend("sweep", _SWEEP_SECONDS)
        best = max((trial for trial in tried if trial.spec in space), key=lambda trial: trial.value or 0.0).spec
        same = {**last, **{slot: best[slot] for slot in ("packer", "generator")}}
        if "none" in space.tree["reranker"]:
            same["reranker"] = PipelineSpec.from_dict({**same, "reranker": {"none": {}}}).to_dict()["reranker"]
        drawn = [{**same, "retriever": space.draw(self._random)["retriever"]} for _ in range(PROPOSED)]
        return [spec for spec in drawn if spec in space]


def _made_up(space: Space, seed: int) -> Callable[[SpecDict], float]:
    """A score of pipelines that knows no data: a sum of random functions of one parameter each."""
    features, random = Features(space), np.random.default_rng(seed)
    count = len(features.columns)
    peaks, weights, levels = random.uniform(0, 1, count), random.normal(size=count), random.normal(size=(count, 64))

    def score(spec: SpecDict) -> float:
        try:
            row = features.rows([spec])[0]
        except KeyError:  # a reference pipeline that is not of the space
            return 0.0
        there = np.flatnonzero(~np.isnan(row))
        numeric = there[features.numeric[there]]
        other = there[~features.numeric[there]]
        smooth = -weights[numeric] * (row[numeric] - peaks[numeric]) ** 2
        return float(smooth.sum() + levels[other, row[other].astype(int) % 64].sum())

    return score
