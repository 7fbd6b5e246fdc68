"""What a search would cost, before it is begun: searches played with made-up scores, priced by a probe.

The real sampler proposes pipelines for scores drawn from an additive prior; what the missing stages of each would take
is added up.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import optuna

from rag_opt.errors import RagOptError
from rag_opt.parts.embedders.encoder import Encoder
from rag_opt.pipeline import PipelineSpec, Plan, Planner, Stage
from rag_opt.records import Question, Span
from rag_opt.store.keys import digest
from rag_opt.study.costs import CostModel, Outlook
from rag_opt.study.probing import Probed, probe
from rag_opt.study.samplers import Proposal, ReadsCosts, spec_digest, unseen
from rag_opt.study.search import Search, reference_pipelines
from rag_opt.study.space import Space, SpecDict
from rag_opt.study.surrogate import Features
from rag_opt.study.trials import Trial, freeze

_PLAYED, _REDRAWS = 4, 5
_BOOKKEEPING_SECONDS = 0.05  # of a trial beside its evaluation: committing it, its rows, MLflow (docs/benchmarks.md)
_UNCERTAIN = 1.15  # factor by which what was probed may be off either way
_USUAL_CONTEXT_TOKENS = 200  # of a chunk whose chunker has no size
_SENTENCES_LOOKED_UP = 500
_SAME_PLACE = 2.0  # so many contexts come from the same place


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
        by_stage={name: float(np.median([one.seconds.get(name, 0.0) for one in played])) for name in names},
        indexes=Interval.of([one.indexes for one in played]),
        texts=Interval.of([one.texts for one in played]),
        tokens=Interval.of([one.tokens for one in played]),
        trials=search.trials,
    )


@dataclass
class _Played:
    """A search that was only played: seconds by family of stages, and what would have been built and run."""

    seconds: dict[str, float] = field(default_factory=dict)
    indexes: int = 0
    texts: float = 0.0
    tokens: float = 0.0


class _Player:
    """Plays pipelines: plans them against the real store and what was played since, and adds up the seconds."""

    def __init__(self, search: Search, questions: Sequence[Question], costs: CostModel, compared: float) -> None:
        self.played = _Played()
        self.costs = costs
        self._shop, self._planner = search.workshop, Planner(search.workshop, questions)
        self._questions, self._compared_per_question = len(questions), compared
        self._plans: dict[str, Plan] = {}
        self._done: set[str] = set()
        self._stored: dict[str, float] = {}  # share of the corpus's sentences that was stored before, by stage
        self._read: dict[str, float] = {}  # share of the corpus whose sentences were compared, by stage

    def asks(self, questions: Sequence[Question], costs: CostModel) -> _Player:
        """Another that goes on with what this one built, for other questions."""
        other = copy.copy(self)
        other.costs, other._planner, other._questions = costs, Planner(self._shop, questions), len(questions)
        other._plans, other._done = {}, {key for key in self._done if not key.startswith("search ")}
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
            self._spend(stage.name, stage.work)
            self.played.indexes += stage.name.startswith("index ")
            if stage.name.startswith("embed "):
                self.played.texts += stage.missing
        self._compare(PipelineSpec.from_dict(spec))
        self._spend("rest", float(self._questions), _BOOKKEEPING_SECONDS)

    def _spend(self, stage: str, work: float, more_seconds: float = 0.0) -> None:
        family = stage.partition(" ")[0]
        if family in ("embed", "compare"):
            self.played.tokens += work
        took = self.costs.seconds(stage, work) + more_seconds
        self.played.seconds[family] = self.played.seconds.get(family, 0.0) + took

    def _compare(self, spec: PipelineSpec) -> None:
        """Sentences of contexts that no pipeline showed yet, and answers."""
        if "vectors" not in spec.generator.needs:
            return
        encoder = self._shop.encoder(spec.embedder.name)
        stage, corpus = encoder.stage("sentence"), self._shop.corpus_tokens(encoder)
        size = getattr(spec.chunker, "size", _USUAL_CONTEXT_TOKENS)
        context = min(spec.retriever.top_k * size, spec.packer.context_tokens)
        if stage not in self._stored:
            self._stored[stage] = self._read[stage] = self._share_stored(encoder)
        # as many places as there are contexts, drawn with repetition: of what is left, this share is new
        new = (1 - self._read.get(stage, 0.0)) * -math.expm1(-self._questions * context / corpus / _SAME_PLACE)
        self._read[stage] = self._read.get(stage, 0.0) + new
        # where sentences were compared before, most answers made of them were too
        answers = self._questions * self._compared_per_question * (1 - self._stored[stage])
        self._spend(stage, new * corpus + answers)

    def _share_stored(self, encoder: Encoder) -> float:
        """How many of the corpus's sentences an earlier search has compared, by some of them."""
        texts, some = self._shop.texts, list[str]()
        for document in self._shop.corpus.documents:
            whole = Span(document.id, 0, len(document.text))
            found = texts.sentences(whole, tokenizer=encoder.tokenizer, most_tokens=encoder.document_tokens)
            some += [texts.of(span) for span in found]
            if len(some) >= _SENTENCES_LOOKED_UP:
                break
        keys = set(encoder.keys(some, "sentence"))
        return len(self._shop.store.values.known("vectors", list(keys))) / max(len(keys), 1)


def _play(search: Search, held_out: Sequence[Question], finalists: int, probed: Probed, seed: int) -> _Played:
    """One search, from the reference pipelines to the finalists."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    player = _Player(search, search.questions, CostModel(probed.trials), probed.compared_per_question)
    study, prospect = optuna.create_study(direction="maximize"), search.new_prospect()
    score, seen, tried = _made_up(search.space, seed), set[str](), list[Trial]()
    waiting = [spec.to_dict() for spec in reference_pipelines(search.baseline).values()][: search.trials]
    while len(tried) < search.trials:
        if waiting:
            proposal: Proposal | None = Proposal(waiting.pop(0))
        else:
            outlook = Outlook()
            if isinstance(search.sampler, ReadsCosts):
                asked = prospect.outlook(tried, spent=len(tried) / search.trials, paid=search.sampler.paid)
                outlook = replace(asked, costs=player.costs)
            proposal = _proposed(search, study, outlook, [seed, len(seen)], seen)
        if proposal is None:
            break
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
    final = player.asks(held_out or search.questions, CostModel(probed.finals))
    for trial in sorted(tried, key=lambda trial: -(trial.value or 0.0))[: finalists + 1]:
        final.play(trial.spec)
    return player.played


def _proposed(
    search: Search, study: optuna.Study, outlook: Outlook, seeds: list[int], seen: set[str]
) -> Proposal | None:
    for attempt in range(_REDRAWS):
        seed = int(digest([*seeds, attempt])[:8], 16)
        proposal = search.sampler.propose(search.space, study, seed=seed, seen=seen, outlook=outlook)
        if proposal is None or spec_digest(proposal.spec) not in seen:
            return proposal
        if proposal.trial is not None:
            study.tell(proposal.trial, state=optuna.trial.TrialState.FAIL)
    return unseen(search.space, seed=int(digest(seeds)[:8], 16), seen=seen)


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
