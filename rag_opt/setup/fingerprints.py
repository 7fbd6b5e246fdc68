"""Fingerprints of a study's inputs: trials made of something else cannot be compared with its own."""

from __future__ import annotations

from rag_opt.core import strict
from rag_opt.core.corpus_readings import CorpusReadings
from rag_opt.core.digests import digest
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import lookup
from rag_opt.core.strict import PlainDict
from rag_opt.models.cards import ModelCard
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.parts.interfaces import LLMGenerator
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.space_models import SpaceModels
from rag_opt.study.evaluation import ObjectiveSet
from rag_opt.study.space.domains import Choice
from rag_opt.study.space.space import Space

# settings of a card that do not determine what its model gives
_FACTS = {"url", "key_variable", "parameters_millions", "table_millions", "languages", "licence", "commercial_use"}
_FACTS |= {"published", "source", "note", "verified", "trained_tokens", "normalises", "golden", "custom_code", "fp16"}
_FACTS |= {"matryoshka", "most_texts", "usd_per_million_tokens"}


def input_digests(
    dataset: Dataset, space: Space, objective_set: ObjectiveSet, baseline: str, *, readings: CorpusReadings
) -> dict[str, str]:
    """Return the digest of each input, by the words that a person is told of it. `baseline`: its digest."""
    objectives = (objective_set.optimised, *objective_set.against)
    return {
        "corpus": readings.digest,
        "language of the documents": dataset.corpus.language,
        "set of questions": dataset.questions_digest,
        "objective": digest([[objective.kind, strict.dump(objective)] for objective in objectives]),
        "space": digest(space.to_dict()),
        "baseline": baseline,
    }


def models_digest(
    space: Space, baseline: PipelineSpec, objective_set: ObjectiveSet, models: SpaceModels, builder: PipelineBuilder
) -> str:
    """Return the digest of the models that a search can choose, of the language models and what these are told."""
    cards: dict[str, ModelCard] = {name: builder.cards.read(name) for name in models.document_embedders}
    for _, part in models.rerankers:
        card = part.find_card(builder.rerankers, builder.cards)
        if isinstance(card, RerankerCard):  # an embedder's card is there already, or determines its own lists
            cards[f"reranker {part.name}"] = card
    for _, index in models.indexes:
        cards[f"index {index.name}"] = index.find_card(builder.rerankers, builder.cards)
    plain = {name: {k: v for k, v in strict.dump(card).items() if k not in _FACTS} for name, card in cards.items()}
    answers = builder.llm_client.settings.identity if builder.llm_client is not None else None
    judged = any("judge" in one.requires for one in (objective_set.optimised, *objective_set.against))
    judges = builder.judge.as_judge.judging if judged and builder.judge is not None else None
    return digest([plain, answers, judges, _prompts(space, baseline, builder)])


def _prompts(space: Space, baseline: PipelineSpec, builder: PipelineBuilder) -> PlainDict:
    """Return the content of the prompts that a search can choose, by their names."""
    names = {baseline.generator.prompt} if isinstance(baseline.generator, LLMGenerator) else set[str]()
    for kind, parameters in space.tree["generator"].items():
        default = lookup("generator", kind)()
        if isinstance(default, LLMGenerator):
            domain = parameters.get("prompt", Choice((default.prompt,)))
            names |= {str(name) for name in domain.values} if isinstance(domain, Choice) else set()
    return {name: strict.dump(builder.prompts.read(name)) for name in names}
