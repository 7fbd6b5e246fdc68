"""A small copy of a search, run to measure how long its stages take on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rag_opt.core.documents import Corpus, Document, Span
from rag_opt.core.errors import RagOptError
from rag_opt.core.questions import Question
from rag_opt.core.registry import lookup
from rag_opt.evaluation.interfaces import ComparesAnswers, Objective
from rag_opt.models.purposes import Purpose
from rag_opt.parts.interfaces import PairReranker, WithoutVectors
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import INDEX_SLOTS, PipelineSpec, SpecDict
from rag_opt.store.artifacts import Store
from rag_opt.study.cost.forecaster import model_names
from rag_opt.study.cost.model import StageCosts
from rag_opt.study.evaluation import ObjectiveSet, evaluate
from rag_opt.study.search import Search

_CHARACTERS = 60_000  # about 64 chunks of 200 tokens
_QUESTIONS = (12, 40)
_EVIDENCE_CHARACTERS = 80
_MOST_DRAWN = 500
_MORE_PIPELINES = 6
_TIMED_TEXTS, _SENTENCE_CHARACTERS = 16, 120
_LEAST_SECONDS, _SHARE = 20.0, 0.1  # that an estimate may take, at least, and of what it estimates
_RESERVED_SECONDS = 8.0  # for a simulation, and for what is being measured
_KINDS_OF = ("chunker", "chunk_context", "embedder", "query", "retriever", "expander", "reranker", "generator")
_WITHOUT_LLM: SpecDict = {
    "chunk_context": {"none": {}},
    "query": {"none": {}},
    "reranker": {"none": {}},
    "generator": {"extractive": {}},
}
# share of the answers that change when a slot does, about; measured on default searches (docs/history.md)
_NEW_ANSWERS = {
    "chunker": 0.7,
    "chunk_context": 0.5,
    "embedder": 0.7,
    "generator": 0.3,
    "query": 0.1,
    "retriever": 0.1,
    "expander": 0.3,
    "reranker": 0.1,
    "packer": 0.1,
}


@dataclass(frozen=True)
class ProbeResult:
    """Work and seconds by stage of each pipeline that was run: as a trial, and as a finalist.

    `answer_tokens`: mean length of an answer, where answers are compared, else 0.
    """

    trials: tuple[StageCosts, ...]
    finalists: tuple[StageCosts, ...]
    answer_tokens: float


class Allowance:
    """Seconds that an estimate may take: 20, or a tenth of what it estimates, whichever is more.

    `started` as `time.perf_counter` says it.
    """

    def __init__(self, started: float) -> None:
        self._started, self._most_s = started, _LEAST_SECONDS

    def expect(self, seconds: float) -> None:
        """Note that the search will take at least so long."""
        self._most_s = max(self._most_s, _SHARE * seconds)

    def has(self, seconds: float) -> bool:
        """Return whether something may still be done that takes so long."""
        return time.perf_counter() + seconds < self._started + self._most_s


def probe(search: Search, allowance: Allowance) -> ProbeResult:
    """Run the baseline and every model of the space, and while there is time every kind of part, on a few documents.

    All is kept in a store of its own. What is not run is priced by a table (`UNIT_SECONDS`).
    """
    corpus, questions = _copy_small(search)
    few, many = (questions[:count] for count in _QUESTIONS)
    with _temporary_folder(f"rag_opt_probe_{os.getpid()}_{uuid.uuid4().hex[:8]}") as folder:
        store = Store(folder)
        original = search.builder
        # without a language model: nothing is paid for an estimate
        builder = PipelineBuilder(corpus, store, original.cards, rerankers=original.rerankers, machine=original.machine)
        search = dataclasses.replace(
            search,
            objective_set=_without_judge(search.objective_set),
            baseline=_without_paid(search.baseline.to_dict(), original),
        )
        baseline = search.baseline
        _measure(builder, baseline, few[:2], search, finalist=True)  # imports and loading are not part of a stage
        trials = [_measure(builder, baseline, asked, search) for asked in (few, many)]
        trials += _time_models(search, builder, allowance)
        finalists = [_measure(builder, baseline, asked, search, finalist=True) for asked in (few, many)]
        asked_for = [baseline]
        for spec in itertools.chain(_draw_covering(search, builder), _draw_on_index_of(baseline, search, builder)):
            if not allowance.has(_RESERVED_SECONDS):
                break
            trials += [_measure(builder, spec, asked, search) for asked in (few, many)]
            asked_for.append(spec)
        tokens = [_answer_tokens(builder, spec, many) for spec in asked_for[-_MORE_PIPELINES:]]
        builder.close()
        store.close()
    answer_tokens = float(np.mean(tokens)) if _compares_answers(search) else 0.0
    return ProbeResult(tuple(trials), tuple(finalists), answer_tokens)


@contextlib.contextmanager
def _temporary_folder(name: str) -> Iterator[Path]:
    """Give an empty folder that is gone afterwards, also where a signal arrives while it is made."""
    folder = Path(tempfile.gettempdir()) / name
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _without_paid(spec: SpecDict, builder: PipelineBuilder) -> PipelineSpec:
    """Return the pipeline with every part replaced that asks a language model, or a service that is paid."""
    full = PipelineSpec.from_dict(spec)
    replaced = {slot: part for slot, part in _WITHOUT_LLM.items() if getattr(full, slot).uses_llm}
    if isinstance(full.reranker, PairReranker) and full.reranker.find_card(builder.rerankers, builder.cards).served:
        replaced["reranker"] = _WITHOUT_LLM["reranker"]
    if full.embedding_model is not None and _is_paid(builder, full.embedding_model):
        replaced["embedder"] = {"model": {}}  # the one that is always here
    if "generator" in replaced and isinstance(full.embedder, WithoutVectors):  # no sentence can be compared
        replaced["generator"] = {"none": {}}
    return PipelineSpec.from_dict({**full.to_dict(), **replaced})


def _is_paid(builder: PipelineBuilder, name: str) -> bool:
    """Return whether a model is a service that is paid by the call: nothing is paid for an estimate."""
    card = builder.cards.read(name)
    return card.backend == "litellm" or card.usd_per_million_tokens is not None


def _without_judge(objective_set: ObjectiveSet) -> ObjectiveSet:
    """Return the objectives that ask no judge."""

    def filter_unjudged(objectives: Iterable[Objective]) -> tuple[Objective, ...]:
        return tuple(objective for objective in objectives if "judge" not in objective.requires)

    optimised, *logged = (
        *filter_unjudged((objective_set.optimised,)),
        *filter_unjudged(objective_set.logged),
        lookup("objective", "context_tokens")(),
    )
    against, finalists = filter_unjudged(objective_set.against), filter_unjudged(objective_set.finalists)
    return ObjectiveSet(optimised, against, tuple(logged), finalists)


def _answer_tokens(builder: PipelineBuilder, spec: PipelineSpec, questions: Sequence[Question]) -> float:
    """Return the mean tokens of an answer over the questions; a refusal has none."""
    texts = [answer.text for answer in builder.pipeline(spec).ask(questions).answers if answer.text]
    tokenizer = builder.encoder(spec.embedder).tokenizer
    return float(tokenizer.lengths(texts).sum()) / len(questions) if texts else 0.0


def _compares_answers(search: Search) -> bool:
    objectives = search.objective_set.objectives(finalist=False)
    return any(isinstance(objective, ComparesAnswers) for objective in objectives)


def share_of_new_answers(spec: Mapping[str, object], earlier: Sequence[Mapping[str, object]]) -> float:
    """Return about which share of a pipeline's answers no earlier pipeline gave, in [0, 1]."""
    shares = [
        sum(share for slot, share in _NEW_ANSWERS.items() if spec.get(slot) != other.get(slot)) for other in earlier
    ]
    return min([1.0, *shares])


def _copy_small(search: Search) -> tuple[Corpus, list[Question]]:
    """Return some documents, cut short, and questions with made-up evidence in them: only their cost is looked at."""
    documents: list[Document] = []
    for document in search.builder.readings.corpus(search.baseline.reader).documents:
        left = _CHARACTERS - sum(len(copy.text) for copy in documents)
        if left <= 0:
            break
        blocks = None if document.blocks is None else tuple(one for one in document.blocks if one.end <= left)
        pages = tuple(page for page in document.pages if page[0] < left)
        documents.append(dataclasses.replace(document, text=document.text[:left], blocks=blocks, pages=pages))
    originals = [search.questions[i % len(search.questions)] for i in range(_QUESTIONS[1])]
    questions = []
    for number, question in enumerate(originals):
        document = documents[number % len(documents)]
        span = Span(document.id, 0, max(min(_EVIDENCE_CHARACTERS, len(document.text)), 1))
        evidence = ((span,),) if question.evidence else question.evidence
        text = f"{question.text} " * (1 + number // max(len(search.questions), 1))
        questions.append(dataclasses.replace(question, id=f"{number}", text=text, evidence=evidence, filters={}))
    return Corpus(tuple(documents), search.builder.corpus.language), questions


def _time_models(search: Search, builder: PipelineBuilder, allowance: Allowance) -> Iterator[StageCosts]:
    """Yield work and seconds of the space's other models on some texts, and note what a search takes at least."""
    own = search.baseline.embedding_model
    table = builder.pipeline(search.baseline).chunks.texts(builder.readings.corpus(search.baseline.reader))
    texts = [table[number] for number in np.linspace(0, len(table) - 1, min(_TIMED_TEXTS, len(table))).astype(int)]
    least_s = 0.0
    for name in model_names(search.space):
        encoder, costs = builder.encoder(name), dict[str, tuple[float, float]]()
        if name == own or _is_paid(builder, name):
            continue
        purposes: tuple[tuple[Purpose, list[str]], ...] = (
            ("document", texts),
            ("sentence", [text[:_SENTENCE_CHARACTERS] for text in texts]),
        )
        for purpose, some in purposes:
            encoder.vectors(["A first text."], purpose)  # loading is no stage
            _, took_ms = encoder.timed_vectors(some, purpose)
            tokens = float(np.minimum(encoder.tokenizer.lengths(some), encoder.reads_tokens).sum())
            costs[encoder.stage(purpose)] = tokens, float(took_ms.sum()) / 1000
        tokens, seconds = costs[encoder.stage("document")]
        least_s += search.builder.corpus_tokens(encoder) * seconds / tokens
        allowance.expect(least_s)
        yield costs


def _draw_covering(search: Search, builder: PipelineBuilder) -> Iterator[PipelineSpec]:
    """Yield the reference pipelines, then others until every kind of the space was there once.

    With the baseline's model, which is loaded, where the kind can do with it.
    """
    random, missing = np.random.default_rng(0), _kinds_of_space(search)
    for spec in search.references.values():
        missing -= _kinds(spec.to_dict())
        if spec != search.baseline:
            yield spec
    for _ in range(_MOST_DRAWN):
        if not missing:
            return
        try:
            # what asks a language model is replaced: it is never run here, so never covered
            spec = _without_paid(search.space.draw(random), builder)
            covered = missing & _kinds(spec.to_dict())
            if covered:
                spec = _with_model(spec, search.baseline.embedding_model, builder)
                builder.check(spec)
        except RagOptError:  # one that cannot exist teaches nothing
            continue
        if covered:
            missing -= covered
            yield spec


def _with_model(spec: PipelineSpec, name: str | None, builder: PipelineBuilder) -> PipelineSpec:
    """Return the pipeline with another embedding model; as it is where that cannot be."""
    full = spec.to_dict()
    ((kind, settings),) = full["embedder"].items()
    if name is None or spec.embedding_model is None:
        return spec
    try:
        other = PipelineSpec.from_dict({**full, "embedder": {kind: {**settings, "name": name}}})
        builder.check(other)
    except RagOptError:
        return spec
    return other


def _kinds_of_space(search: Search) -> set[str]:
    return {f"{slot} {kind}" for slot in _KINDS_OF for kind in search.space.tree[slot]}


def _kinds(spec: SpecDict) -> set[str]:
    return {f"{slot} {next(iter(part))}" for slot, part in spec.items()}


def _draw_on_index_of(spec: PipelineSpec, search: Search, builder: PipelineBuilder) -> Iterator[PipelineSpec]:
    """Yield some other pipelines of the space on the index of this one."""
    random, full = np.random.default_rng(1), spec.to_dict()
    index = {slot: full[slot] for slot in INDEX_SLOTS}
    count = 0
    for _ in range(_MOST_DRAWN):
        try:
            other = _without_paid({**search.space.draw(random), **index}, builder)
            builder.check(other)
        except RagOptError:
            continue
        yield other
        count += 1
        if count == _MORE_PIPELINES:
            return


def _measure(
    builder: PipelineBuilder,
    spec: PipelineSpec,
    questions: Sequence[Question],
    search: Search,
    *,
    finalist: bool = False,
) -> StageCosts:
    """Return work and seconds by stage of one evaluation; loading a model is no stage."""
    before, started = dict(builder.stage_timer.spent), time.perf_counter()
    evaluate(builder, spec, questions, search.objective_set, finalist=finalist)
    seconds = time.perf_counter() - started
    spent = builder.stage_timer.since(before)
    stages = {name: pair for name, pair in spent.items() if not name.startswith("load ")}
    rest = seconds - sum(took for _, took in spent.values())
    return {**stages, "rest": (float(len(questions)), max(rest, 1e-4))}
