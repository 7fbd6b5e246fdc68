"""A small copy of a search, run to measure what its stages take here."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rag_opt.core.documents import Corpus, Document, Span
from rag_opt.core.errors import RagOptError
from rag_opt.core.questions import Question
from rag_opt.core.registry import lookup
from rag_opt.evaluation.run import Objective
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.artifacts import Store
from rag_opt.study.cost.forecaster import model_names
from rag_opt.study.cost.model import Stages
from rag_opt.study.evaluation import ObjectiveSet, evaluate
from rag_opt.study.references import reference_pipelines
from rag_opt.study.search import Search
from rag_opt.study.space.space import SpecDict

_CHARACTERS = 60_000  # about 64 chunks of 200 tokens
_QUESTIONS = (12, 40)
_MOST_DRAWN = 500
_AGAIN = 6
# share of the answers that become others when a slot does, about; measured on default searches (docs/benchmarks.md)
_OTHER_ANSWERS = {
    "chunker": 0.7,
    "embedder": 0.7,
    "generator": 0.3,
    "query": 0.1,
    "retriever": 0.1,
    "expander": 0.3,
    "reranker": 0.1,
    "packer": 0.1,
}


@dataclass(frozen=True)
class Probed:
    """Work and seconds by stage of each pipeline that was run: of trials, and of finalists on untouched questions.

    `answer_tokens`: of an answer, where answers are compared, else 0.
    """

    trials: tuple[Stages, ...]
    finals: tuple[Stages, ...]
    answer_tokens: float


def probe(search: Search) -> Probed:
    """Run the reference pipelines and every kind and model of the space on a few documents, in a store of their own."""
    corpus, questions = _copy(search)
    few, many = (questions[:count] for count in _QUESTIONS)
    probed: list[Stages] = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        whole = search.builder
        # without a language model: nothing is paid for an estimate
        builder = PipelineBuilder(corpus, store, whole.cards, rerankers=whole.rerankers, machine=whole.machine)
        search = dataclasses.replace(
            search, objective_set=_unjudged(search.objective_set), baseline=_unasked(search.baseline.to_dict())
        )
        specs = list(_covering(search, builder))
        _measured(builder, specs[0], few[:2], search, finalist=True)  # imports and loading are not part of a stage
        for spec in specs:
            probed.append(_measured(builder, spec, few, search))
            probed.append(_measured(builder, spec, many, search))
        others = list(_others(specs[0], search, builder))
        again = [_measured(builder, spec, many, search) for spec in others]
        finals = [_measured(builder, spec, some, search, finalist=True) for spec in others[:2] for some in (few, many)]
        tokens = [_answer_tokens(builder, spec, many) for spec in others]
        builder.close()
        store.close()
    return Probed((*probed, *again), tuple(finals), float(np.mean(tokens)) if _compares_answers(search) else 0.0)


_INSTEAD: dict[str, Any] = {"query": {"none": {}}, "reranker": {"none": {}}, "generator": {"extractive": {}}}


def _unasked(spec: SpecDict) -> PipelineSpec:
    """The pipeline with nothing in it that asks a language model."""
    full = PipelineSpec.from_dict(spec)
    asking = {slot: part for slot, part in _INSTEAD.items() if "model" in getattr(full, slot).requires}
    return PipelineSpec.from_dict({**full.to_dict(), **asking})


def _unjudged(objective_set: ObjectiveSet) -> ObjectiveSet:
    """The objectives that ask no judge."""

    def kept(some: Iterable[Objective]) -> tuple[Objective, ...]:
        return tuple(one for one in some if "judge" not in one.requires)

    first, *logged = (
        *kept((objective_set.optimised,)),
        *kept(objective_set.logged),
        lookup("objective", "context_tokens")(),
    )
    return ObjectiveSet(first, kept(objective_set.against), tuple(logged), kept(objective_set.finalists))


def _answer_tokens(builder: PipelineBuilder, spec: PipelineSpec, questions: Sequence[Question]) -> float:
    """Of an answer, a refusal has none; mean over the questions."""
    said = [answer.text for answer in builder.pipeline(spec).ask(questions).answers if answer.text]
    tokenizer = builder.encoder(spec.embedder).tokenizer
    return float(tokenizer.lengths(said).sum()) / len(questions) if said else 0.0


def _compares_answers(search: Search) -> bool:
    objectives = search.objective_set.objectives(finalist=False)
    return any(getattr(objective, "similarity_model", None) is not None for objective in objectives)


def unlike(spec: SpecDict, earlier: Sequence[SpecDict]) -> float:
    """About which share of a pipeline's answers no earlier one gave, in [0, 1]."""
    shares = [
        sum(share for slot, share in _OTHER_ANSWERS.items() if spec.get(slot) != one.get(slot)) for one in earlier
    ]
    return min([1.0, *shares])


def _copy(search: Search) -> tuple[Corpus, list[Question]]:
    """Some documents, cut short, and questions with made-up evidence in them: only their cost is looked at."""
    documents: list[Document] = []
    for document in search.builder.corpus.documents:
        left = _CHARACTERS - sum(len(one.text) for one in documents)
        if left <= 0:
            break
        documents.append(dataclasses.replace(document, text=document.text[:left]))
    asked = [search.questions[i % len(search.questions)] for i in range(_QUESTIONS[1])]
    questions = []
    for number, question in enumerate(asked):
        one = documents[number % len(documents)]
        evidence = ((Span(one.id, 0, max(min(80, len(one.text)), 1)),),) if question.evidence else question.evidence
        again = f"{question.text} " * (1 + number // max(len(search.questions), 1))
        questions.append(dataclasses.replace(question, id=f"{number}", text=again, evidence=evidence, filters={}))
    return Corpus(tuple(documents), search.builder.corpus.language), questions


def _covering(search: Search, builder: PipelineBuilder) -> Iterator[PipelineSpec]:
    """The reference pipelines, then others until every kind and every model of the space was there once."""
    random, left = np.random.default_rng(0), _names(search)
    for spec in reference_pipelines(search.baseline).values():
        left -= _named(spec.to_dict())
        yield spec
    for _ in range(_MOST_DRAWN):
        drawn = search.space.draw(random)
        if left & _named(drawn):
            try:
                spec = _unasked(drawn)
                builder.check(spec)
            except RagOptError:  # one that cannot exist teaches nothing
                continue
            left -= _named(spec.to_dict())
            yield spec


def _names(search: Search) -> set[str]:
    kinds = {
        f"{slot} {kind}"
        for slot in ("chunker", "embedder", "query", "retriever", "expander", "reranker", "generator")
        for kind in search.space.tree[slot]
    }
    return kinds | {f"model {name}" for name in model_names(search.space)}


def _named(spec: SpecDict) -> set[str]:
    kinds = {f"{slot} {next(iter(part))}" for slot, part in spec.items()}
    return kinds | {f"model {next(iter(spec['embedder'].values())).get('name')}"}


def _others(spec: PipelineSpec, search: Search, builder: PipelineBuilder) -> Iterator[PipelineSpec]:
    """Other pipelines of the space on the index of this one."""
    random, full = np.random.default_rng(1), spec.to_dict()
    same = {slot: full[slot] for slot in ("chunker", "embedder")}
    found = 0
    for _ in range(_MOST_DRAWN):
        try:
            other = _unasked({**search.space.draw(random), **same})
            builder.check(other)
        except RagOptError:
            continue
        yield other
        found += 1
        if found == _AGAIN:
            return


def _measured(
    builder: PipelineBuilder,
    spec: PipelineSpec,
    questions: Sequence[Question],
    search: Search,
    *,
    finalist: bool = False,
) -> Stages:
    before, started = dict(builder.stage_timer.spent), time.perf_counter()
    evaluate(builder, spec, questions, search.objective_set, finalist=finalist)
    seconds = time.perf_counter() - started
    stages = {name: one for name, one in builder.stage_timer.since(before).items() if not name.startswith("load ")}
    rest = seconds - sum(took for _, took in builder.stage_timer.since(before).values())
    return {**stages, "rest": (float(len(questions)), max(rest, 1e-4))}
