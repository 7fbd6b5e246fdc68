"""What a study is bound to: trials made of something else cannot be compared with its own."""

from __future__ import annotations

from typing import Any

from rag_opt.core import strict as config
from rag_opt.core.digests import digest
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import lookup
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.preflight import reranker_names
from rag_opt.study.cost.forecaster import model_names
from rag_opt.study.evaluation import ObjectiveSet
from rag_opt.study.space.domains import Choice
from rag_opt.study.space.space import Space


def input_digests(
    dataset: Dataset, space: Space, objective_set: ObjectiveSet, baseline: PipelineSpec
) -> dict[str, str]:
    """By the words that a person is told of it."""
    objectives = (objective_set.optimised, *objective_set.against)
    return {
        "corpus": dataset.corpus.digest,
        "language of the documents": dataset.corpus.language,
        "set of questions": dataset.questions_digest,
        "space": digest(space.to_dict()),
        "objective": digest([[one.kind, config.dump(one)] for one in objectives]),
        "baseline": baseline.digest,
    }


# what of a card does not determine what its model gives
_FACTS = {"url", "key_variable", "parameters_millions", "languages", "licence", "commercial_use", "scores", "source"}
_FACTS |= {"note", "verified", "trained_tokens", "normalises", "prior_quality", "golden", "custom_code"}


def models_digest(space: Space, baseline: PipelineSpec, objective_set: ObjectiveSet, builder: PipelineBuilder) -> str:
    """Of the models that a search can choose, of the language models that it asks, and of what these are told."""
    cards: dict[str, Any] = {name: builder.cards.read(name) for name in [*model_names(space), baseline.embedder.name]}
    rerankers = builder.rerankers
    cards |= {f"reranker {name}": rerankers.read(name) for name in reranker_names(space, rerankers)}
    plain = {name: {k: v for k, v in config.dump(card).items() if k not in _FACTS} for name, card in cards.items()}
    answers = builder.llm_client.settings.identity if builder.llm_client is not None else None
    judged = any("judge" in one.requires for one in (objective_set.optimised, *objective_set.against))
    judges = builder.judge.as_judge.judging if judged and builder.judge is not None else None
    return digest([plain, answers, judges, _prompts(space, baseline, builder)])


def _prompts(space: Space, baseline: PipelineSpec, builder: PipelineBuilder) -> dict[str, Any]:
    """What the prompts say that a search can choose."""
    names = {getattr(baseline.generator, "prompt", None)}
    for kind, parameters in space.tree["generator"].items():
        domain, usual = parameters.get("prompt"), getattr(lookup("generator", kind)(), "prompt", None)
        names |= {*domain.values} if isinstance(domain, Choice) else {usual}
    return {str(name): config.dump(builder.prompts.read(str(name))) for name in names if name is not None}
