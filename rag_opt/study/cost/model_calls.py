"""Forecast of how often a search asks language models, before it asks once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.evaluation.interfaces import CallsJudge
from rag_opt.parts.interfaces import RewordingQuery, WrittenContext, WrittenQuery
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.bounds import BOUNDS
from rag_opt.study.evaluation import ObjectiveSet
from rag_opt.study.search import Search

_DRAWN_PIPELINES = 200
_CHARACTERS_PER_TOKEN = 4
_QUESTION_TOKENS, _ANSWER_TOKENS = 250, 100  # a prompt without its passages, and an answer
VERDICT_TOKENS = (900, 250)  # about what ragas' prompts read and write a call, with three contexts


@dataclass(frozen=True)
class ModelCalls:
    """Expected calls and dollars if nothing is stored and no two pipelines ask the same: about an upper bound.

    `contexts`: calls that write a line for a chunk. `seconds_each`: how much longer the search takes for every second
    that a call takes.
    """

    generator: float
    judge: float
    usd: float
    seconds_each: float
    contexts: float = 0.0


def forecast_model_calls(search: Search, *, held_out: int, finalists: int) -> ModelCalls:
    """Return the calls of `search.trials` pipelines on the search questions, and of the end on the held-out ones."""
    random = np.random.default_rng(0)
    drawn = [PipelineSpec.from_dict(search.space.draw(random)) for _ in range(_DRAWN_PIPELINES)]
    calls_each = float(np.mean([_calls_per_question(spec) for spec in drawn]))
    context = float(np.mean([spec.packer.context_tokens for spec in drawn]))
    passages = float(np.mean([spec.retriever.top_k for spec in drawn]))
    in_trials = search.trials * len(search.questions)
    in_the_end = (min(finalists, search.trials) + 1 + len(BOUNDS)) * (held_out or len(search.questions))
    judge, llm_client = search.builder.judge, search.builder.llm_client
    repeats = judge.as_judge.repeats if judge is not None else 0
    of_trials, of_finalists = (
        count_judge_calls(search.objective_set, passages, finalist=finalist) for finalist in (False, True)
    )
    judged = repeats * (in_trials * of_trials + in_the_end * of_finalists)
    answers = calls_each * (in_trials + in_the_end)
    contexts, context_tokens = _forecast_contexts(search, drawn)
    usd = seconds = 0.0
    for number, model, tokens in (
        (contexts, llm_client, (context_tokens, _ANSWER_TOKENS)),
        (answers, llm_client, (_QUESTION_TOKENS + context, _ANSWER_TOKENS)),
        (judged, judge, VERDICT_TOKENS),
    ):
        if model is not None:
            usd += number * model.settings.usd(*tokens)
            seconds += number / model.settings.concurrency
    return ModelCalls(answers, judged, usd, seconds, contexts)


def _forecast_contexts(search: Search, drawn: Sequence[PipelineSpec]) -> tuple[float, float]:
    """Return how many lines are written for chunks at most, and the tokens that are read for one.

    Every way to cut that is tried with them has lines of its own.
    """
    written = [spec for spec in drawn if isinstance(spec.chunk_context, WrittenContext)]
    if not written:
        return 0.0, 0.0
    corpus = search.builder.corpus
    chunks = [search.builder.corpus_tokens(search.builder.encoder(one.embedder)) / one.chunker.size for one in written]
    tokenizers = [search.builder.encoder(spec.embedder).tokenizer.identity for spec in written]
    cuts = [(spec.reader, spec.chunker, spec.chunk_context) for spec in written]
    ways = len({repr(pair) for pair in zip(cuts, tokenizers, strict=True)})
    tried = min(search.trials * len(written) / len(drawn), ways)
    shown = [
        min(corpus.characters / max(len(corpus.documents), 1), getattr(spec.chunk_context, "document_characters", 0))
        for spec in written
    ]
    return tried * float(np.mean(chunks)), float(np.mean(shown)) / _CHARACTERS_PER_TOKEN + _QUESTION_TOKENS


def _calls_per_question(spec: PipelineSpec) -> int:
    query = spec.query
    rewriting = len(query.requests("?")) if isinstance(query, RewordingQuery | WrittenQuery) else int(query.uses_llm)
    return rewriting + spec.reranker.uses_llm + spec.generator.uses_llm


def count_judge_calls(objective_set: ObjectiveSet, passages: float, *, finalist: bool) -> float:
    """Return about how often the judge is asked for one pipeline and question, with so many passages."""
    objectives = objective_set.objectives(finalist=finalist)
    return float(sum(one.calls(passages) for one in objectives if isinstance(one, CallsJudge)))
