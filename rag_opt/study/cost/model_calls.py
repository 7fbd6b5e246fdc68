"""How often a search would ask language models, before it asks once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.bounds import CEILING, FLOOR
from rag_opt.study.evaluation import ObjectiveSet
from rag_opt.study.search import Search

_DRAWN = 200
_QUESTION_TOKENS, _ANSWER_TOKENS = 250, 100  # what stands around the passages, and what is said of them
VERDICT_TOKENS = (900, 250)  # about what ragas' prompts read and write a call, with three contexts


@dataclass(frozen=True)
class Calls:
    """Expected numbers if nothing is stored and no two pipelines ask the same; both happen, so it is at most about so
    many. `seconds_each`: what every second that a call takes adds to the search.
    """

    generator: float
    judge: float
    usd: float
    seconds_each: float


def expected_calls(search: Search, *, held_out: int, finalists: int) -> Calls:
    """Of `search.trials` pipelines of the space on the search questions, and of the end on the untouched ones."""
    random = np.random.default_rng(0)
    drawn = [PipelineSpec.from_dict(search.space.draw(random)) for _ in range(_DRAWN)]
    asks = float(np.mean([_asks(spec) for spec in drawn]))
    context = float(np.mean([getattr(spec.packer, "context_tokens", 1500) for spec in drawn]))
    passages = float(np.mean([spec.retriever.top_k for spec in drawn]))
    count = search.trials * len(search.questions)
    end = (min(finalists, search.trials) + 1 + len((FLOOR, CEILING))) * (held_out or len(search.questions))
    judge = search.builder.judge
    repeats = judge.as_judge.repeats if judge is not None else 0
    tried, finals = (verdicts(search.objective_set, passages, finalist=finalist) for finalist in (False, True))
    judged = repeats * (count * tried + end * finals)
    answers, llm_client = asks * (count + end), search.builder.llm_client
    usd = seconds = 0.0
    for number, model, tokens in (
        (answers, llm_client, (_QUESTION_TOKENS + context, _ANSWER_TOKENS)),
        (judged, judge, VERDICT_TOKENS),
    ):
        if model is not None:
            usd += number * model.settings.usd(*tokens)
            seconds += number / model.settings.concurrency
    return Calls(answers, judged, usd, seconds)


def _asks(spec: PipelineSpec) -> int:
    """Of one pipeline for one question."""
    query = len(spec.query.requests("?")) if "model" in spec.query.requires else 0
    return query + sum("model" in part.requires for part in (spec.reranker, spec.generator))


def verdicts(objective_set: ObjectiveSet, passages: float, *, finalist: bool) -> float:
    """Of one pipeline for one question."""
    judged: Sequence[object] = objective_set.objectives(finalist=finalist)
    return float(sum(one.calls(passages) for one in judged if hasattr(one, "calls")))
