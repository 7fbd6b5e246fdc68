"""Simulated searches: the real sampler proposes pipelines for made-up scores, and what each would take is added up."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import optuna

from rag_opt.core.documents import Span
from rag_opt.core.errors import RagOptError
from rag_opt.core.questions import Question
from rag_opt.models.encoder import Encoder
from rag_opt.parts.interfaces import ExtractiveGenerator
from rag_opt.pipeline.plan import Plan, Planner, Stage
from rag_opt.pipeline.spec import INDEX_SLOTS, PipelineSpec, SpecDict
from rag_opt.study.cost.forecaster import CostForecaster, model_names
from rag_opt.study.cost.model import CostForecast, CostModel
from rag_opt.study.cost.probe import ProbeResult, share_of_new_answers
from rag_opt.study.samplers.interfaces import Proposal, ReadsCosts
from rag_opt.study.samplers.proposals import propose_new
from rag_opt.study.samplers.surrogate import Features
from rag_opt.study.search import Search
from rag_opt.study.space.space import Space
from rag_opt.study.sweep import PROPOSED
from rag_opt.study.trials import Trial, to_frozen_trial

_REDRAWS = 5
_MOST_ASKED = 20  # times the trials: where hardly a pipeline can exist
_BOOKKEEPING_SECONDS = 0.05  # of a trial beside its evaluation: committing it, its rows, MLflow (docs/history.md)
_SENTENCES_LOOKED_UP = 500
_SAME_PLACE = 2.8  # so many contexts come from the same place
# share of a context that is new to a question when another kind of pipeline, or other chunks, showed as much before
_NEW_CONTEXT = 0.2
_ANSWERED = 0.7  # of a pipeline's answers an earlier search of the same data has compared
_SWEEP_SECONDS = 0.3  # of an index
_MADE_UP_LEVELS = 64


@dataclass
class SimulatedSearch:
    """Outcome of a simulation: seconds by family of stages, and what would have been built and run."""

    seconds: dict[str, float] = field(default_factory=dict)
    indexes: int = 0
    texts: float = 0.0
    tokens: float = 0.0
    embedding_usd: float = 0.0
    trials: int = 0


def simulate_search(
    search: Search, held_out: Sequence[Question], finalists: int, probed: ProbeResult, seed: int
) -> SimulatedSearch:
    """Simulate one search, from the reference pipelines to the finalists."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    simulator = _Simulator(search, search.questions, CostModel(probed.trials), probed.answer_tokens)
    study, cost_forecaster = optuna.create_study(direction="maximize"), search.new_cost_forecaster()
    score, tried_digests, trials = _make_up_scores(search.space, seed), set[str](), list[Trial]()
    waiting = [spec.to_dict() for spec in search.references.values()]
    sweeps = _SimulatedSweeps(search, seed)
    most_asked = _MOST_ASKED * search.trials
    while (spent := simulator.share_spent(len(trials), search)) < 1 and len(tried_digests) < most_asked:
        if waiting:
            proposal: Proposal | None = Proposal(waiting.pop(0))
        else:
            started, costs = time.perf_counter(), simulator.costs
            forecast = _forecast(search, cost_forecaster, trials, spent=spent, costs=costs)
            proposal = propose_new(
                search.sampler,
                search.space,
                study,
                [seed, len(tried_digests)],
                tried_digests=tried_digests,
                cost_forecast=forecast,
                redraws=_REDRAWS,
            )
            simulator.spend("ask", time.perf_counter() - started)
        if proposal is None:
            break
        identity = search.space.identify(proposal.spec)
        if identity in tried_digests:
            continue
        tried_digests.add(identity)
        try:
            simulator.run(proposal.spec)
        except RagOptError:  # it cannot exist: pruned, at no cost
            continue
        trials.append(_simulated_trial(len(trials), proposal.spec, score))
        if proposal.trial is not None:
            study.tell(proposal.trial, trials[-1].value)
        else:
            study.add_trial(to_frozen_trial(trials[-1], search.space))
        waiting += sweeps.propose(trials, simulator)
    simulator.outcome.trials = len(trials)
    end = simulator.with_questions(held_out or search.questions, CostModel(probed.finalists))
    for trial in sorted(trials, key=lambda trial: -(trial.value or 0.0))[: finalists + 1]:
        end.run(trial.spec)
    return simulator.outcome


def _forecast(
    search: Search, forecaster: CostForecaster, trials: Sequence[Trial], *, spent: float, costs: CostModel
) -> CostForecast:
    """Return what the sampler is told of costs: the missing work as it is, priced by the probe."""
    if not isinstance(search.sampler, ReadsCosts):
        return CostForecast()
    forecast = forecaster.cost_forecast(trials, spent=spent, paid=search.sampler.paid)
    return replace(forecast, costs=costs) if search.sampler.paid == "store" else forecast


def _simulated_trial(number: int, spec: SpecDict, score: Callable[[SpecDict], float]) -> Trial:
    full = PipelineSpec.from_dict(spec).to_dict()
    return Trial(number, "COMPLETE", full, "played", value=score(full), made={"played": (1.0, 1.0)})


class _Simulator:
    """Plans pipelines against the real store and what was simulated since, and adds up what they would take."""

    def __init__(self, search: Search, questions: Sequence[Question], costs: CostModel, answer_tokens: float) -> None:
        self.outcome = SimulatedSearch()
        self.costs = costs
        self._builder, self._planner = search.builder, Planner(search.builder, questions)
        self._questions, self._answer_tokens = len(questions), answer_tokens
        cards = [search.builder.encoder(name).card for name in model_names(search.space)]
        self._prices = {card.id: card.usd_per_million_tokens or 0.0 for card in cards}
        self._specs: list[SpecDict] = []
        self._plans: dict[str, Plan] = {}
        self._done: set[str] = set()
        self._stored: dict[str, float] = {}  # share of the corpus's sentences that was stored before, by stage
        self._read: dict[str, float] = {}  # share of the corpus whose sentences were compared, by stage
        self._shown: dict[str, float] = {}  # tokens of context that a question was shown, by stage
        self._kinds: set[str] = set()

    def with_questions(self, questions: Sequence[Question], costs: CostModel) -> _Simulator:
        """Return another that goes on with what this one built, for other questions; both share the outcome."""
        other = copy.copy(self)
        other.costs, other._planner, other._questions = costs, Planner(self._builder, questions), len(questions)
        other._plans, other._done = {}, {key for key in self._done if not key.startswith("search ")}
        other._shown, other._kinds, other._specs = {}, set(), []
        return other

    def run(self, spec: SpecDict) -> None:
        """Add up one pipeline. Raises ImpossiblePipeline and BadInput."""
        for stage in self._missing(spec):
            self._done.add(stage.name + stage.key)
            self._add_work(stage.name, stage.work)
            self.outcome.indexes += stage.name.startswith("index ")
            if stage.name.startswith("embed "):
                self.outcome.texts += stage.missing
        self._add_comparing(PipelineSpec.from_dict(spec))
        self._add_work("rest", float(self._questions))
        self.spend("rest", _BOOKKEEPING_SECONDS)

    def spend(self, family: str, seconds: float) -> None:
        """Add seconds to a family of stages."""
        self.outcome.seconds[family] = self.outcome.seconds.get(family, 0.0) + seconds

    def share_spent(self, trials: int, search: Search) -> float:
        """Return the share of the budget that so many trials have used."""
        minutes = sum(self.outcome.seconds.values()) / 60 / search.minutes if search.minutes else 0.0
        return max(trials / search.trials, minutes)

    def _missing(self, spec: SpecDict) -> list[Stage]:
        written = repr(spec)
        if written not in self._plans:
            self._plans[written] = self._planner.plan(PipelineSpec.from_dict(spec))
        return [stage for stage in self._plans[written].missing if stage.name + stage.key not in self._done]

    def _add_work(self, stage: str, work: float) -> None:
        family, _, model = stage.partition(" ")
        if family in ("embed", "compare"):
            self.outcome.tokens += work
            self.outcome.embedding_usd += work * self._prices.get(model, 0.0) / 1e6
        self.spend(family, self.costs.seconds(stage, work))

    def _add_comparing(self, spec: PipelineSpec) -> None:
        """Add the embedding of sentences that no context showed yet, and of answers, for an extractive generator."""
        if not isinstance(spec.generator, ExtractiveGenerator):
            return
        encoder = self._builder.encoder(spec.embedder)
        documents = self._builder.readings.corpus(spec.reader)
        stage, corpus = encoder.stage("sentence"), self._builder.corpus_tokens(encoder, documents)
        context = min(spec.retriever.top_k * spec.chunker.size, spec.packer.context_tokens)
        if stage not in self._stored:
            self._stored[stage] = self._read[stage] = self._share_stored(encoder, spec)
        more = self._new_context_tokens(stage, spec, context)
        # as many places as there are contexts, drawn with repetition: of what is left, this share is new
        new = (1 - self._read[stage]) * -math.expm1(-self._questions * more / corpus / _SAME_PLACE)
        self._read[stage] += new
        # the ideal answers too; and where sentences were compared before, so were many answers made of them
        full = spec.to_dict()
        others = share_of_new_answers(full, self._specs) + (not self._specs)
        self._specs.append(full)
        answers = self._questions * self._answer_tokens * others * (1 - _ANSWERED * self._stored[stage])
        self._add_work(stage, new * corpus + answers)

    def _new_context_tokens(self, stage: str, spec: PipelineSpec, context: float) -> float:
        """Return the tokens of a context that no earlier pipeline showed for the same question: few of them."""
        before = self._shown.get(stage, 0.0)
        kind = f"{stage} {spec.chunker!r} {spec.retriever.kind} {spec.reranker.kind}"
        elsewhere = _NEW_CONTEXT * min(before, context) if kind not in self._kinds else 0.0
        self._kinds.add(kind)
        self._shown[stage] = max(before, context) + elsewhere
        return self._shown[stage] - before

    def _share_stored(self, encoder: Encoder, spec: PipelineSpec) -> float:
        """Return the share of the corpus's sentences that an earlier search has compared, judged by the first ones."""
        texts, sentences = self._builder.texts(spec), list[str]()
        for document in texts.corpus.documents:
            whole = Span(document.id, 0, len(document.text))
            spans = texts.sentences(whole, tokenizer=encoder.tokenizer, most_tokens=encoder.document_tokens)
            sentences += [texts.of(span) for span in spans]
            if len(sentences) >= _SENTENCES_LOOKED_UP:
                break
        keys = set(encoder.keys(sentences, "sentence"))
        return len(self._builder.store.values.find_known("vectors", list(keys))) / max(len(keys), 1)


class _SimulatedSweeps:
    """Proposals of sweeps, made up: some retrievers for every new index, since there are no lists to choose by."""

    def __init__(self, search: Search, seed: int) -> None:
        self._search, self._random, self._swept = search, np.random.default_rng(seed), set[str]()

    def propose(self, trials: Sequence[Trial], simulator: _Simulator) -> list[SpecDict]:
        """Return what a sweep after the last trial proposes; nothing where its index was swept before."""
        space, last = self._search.space, trials[-1].spec
        index = repr([last.get(slot) for slot in INDEX_SLOTS])
        dense = "dense" in PipelineSpec.from_dict(last).retriever.index_queries()
        if not self._search.sweep or index in self._swept or not dense or last not in space:
            return []
        self._swept.add(index)
        simulator.spend("sweep", _SWEEP_SECONDS)
        best = max((trial for trial in trials if trial.spec in space), key=lambda trial: trial.value or 0.0).spec
        base = {**last, **{slot: best[slot] for slot in ("packer", "generator")}}
        if "none" in space.tree["reranker"]:
            base["reranker"] = PipelineSpec.from_dict({**base, "reranker": {"none": {}}}).to_dict()["reranker"]
        drawn = [{**base, "retriever": space.draw(self._random)["retriever"]} for _ in range(PROPOSED)]
        return [spec for spec in drawn if spec in space]


def _make_up_scores(space: Space, seed: int) -> Callable[[SpecDict], float]:
    """Return a score of pipelines that knows no data: a sum of random functions of one parameter each."""
    features, random = Features(space), np.random.default_rng(seed)
    count = len(features.columns)
    peaks, weights = random.uniform(0, 1, count), random.normal(size=count)
    levels = random.normal(size=(count, _MADE_UP_LEVELS))

    def score(spec: SpecDict) -> float:
        try:
            row = features.rows([spec])[0]
        except KeyError:  # a reference pipeline that is not of the space
            return 0.0
        present = np.flatnonzero(~np.isnan(row))
        numeric = present[features.numeric[present]]
        other = present[~features.numeric[present]]
        smooth = -weights[numeric] * (row[numeric] - peaks[numeric]) ** 2
        return float(smooth.sum() + levels[other, row[other].astype(int) % _MADE_UP_LEVELS].sum())

    return score
