"""The models of a space that may take part, by size, licence and language; and notes of what was left out."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence

from rag_opt.core.documents import Corpus
from rag_opt.core.errors import BadInput, ImpossiblePipeline, Problem, suggest_names
from rag_opt.core.registry import lookup
from rag_opt.data.language import detect_language
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard, EmbedderCards
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.parts.interfaces import ModelPart
from rag_opt.pipeline.feasibility import searches_vectors
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.schema import EmbedderSettings
from rag_opt.study.cost.forecaster import find_model_indexes, find_pair_rerankers
from rag_opt.study.references import search_by
from rag_opt.study.space.domains import Choice, Domain, Scalar
from rag_opt.study.space.space import Space, Tree


def filter_models(
    space: Space, cards: EmbedderCards, limits: EmbedderSettings, language: str
) -> tuple[Space, list[str]]:
    """Return the space without the models that the limits rule out, and notes.

    A space that reads no vectors needs no model; one that searches words alone loses what needs a model, where none is
    left. The notes say what was left out and why, and what a person should know of the models that stay. Raises
    BadInput where none is left, and for a limit that names nothing.
    """
    readers = _kinds_reading_vectors(space)
    if not readers:
        return _without_models(space, readers), []
    problems = _unknown_cards(space, cards, limits)
    ruled_out: dict[str, str] = {}
    tree: Tree = {slot: dict(kinds) for slot, kinds in space.tree.items()}
    for kind, parameters in space.tree["embedder"].items():
        names, kept = _names(kind, parameters), list[Scalar]()
        for name in names:
            card = _card(cards, str(name), problems)
            reason = _reason_against(card, limits, language) if card is not None else ""
            if reason:
                ruled_out[str(name)] = reason
            else:
                kept.append(name)
        if names and not kept:
            del tree["embedder"][kind]
        elif names and "name" in parameters:
            tree["embedder"][kind] = {**parameters, "name": Choice(tuple(kept))}
    if not tree["embedder"] and not problems:
        words_alone = _without_models(space, readers)
        asked_for = not any(slot == "retriever" for slot, _ in readers)
        if asked_for and all(words_alone.tree.values()):
            named = ", ".join(f"{slot}.{kind}" for slot, kind in readers)
            reasons = "; ".join(f"{name}: {reason}" for name, reason in ruled_out.items())
            return words_alone, [f"left out: {named}, which need an embedding model, and none is left ({reasons})"]
        problems.append(_none_left(ruled_out, cards, limits, language))
    if problems:
        raise BadInput(problems)
    left = [str(name) for kind, parameters in tree["embedder"].items() for name in _names(kind, parameters)]
    notes = [f"left out: the embedding model {name} ({reason})" for name, reason in ruled_out.items()]
    notes += [note for name in dict.fromkeys(left) for note in _notes_of(name, cards)]
    return dataclasses.replace(space, tree=tree), notes


def _kinds_reading_vectors(space: Space) -> list[tuple[str, str]]:
    return [
        (slot, kind) for slot, kinds in space.tree.items() for kind in kinds if space.kind_reads_vectors(slot, kind)
    ]


def _without_models(space: Space, readers: Sequence[tuple[str, str]]) -> Space:
    """Return the space without the kinds that read vectors; a slot may be empty then."""
    tree = {
        slot: {kind: of for kind, of in kinds.items() if (slot, kind) not in readers}
        for slot, kinds in space.tree.items()
    }
    return dataclasses.replace(space, tree={**tree, "embedder": {"none": {}}})


def fit_references(
    baseline: PipelineSpec, cards: EmbedderCards, corpus: Corpus, *, named: bool
) -> tuple[PipelineSpec, bool, list[str]]:
    """Return the baseline, whether vectors alone are a reference beside it, and notes.

    Where its embedding model does not fit the language of the documents, words alone take its place, unless it was
    `named` for this search.
    """
    if named or baseline.embedding_model is None or not searches_vectors(baseline):
        return baseline, baseline.embedding_model is not None, []
    card = cards.read(baseline.embedding_model, where="pipeline.embedder")
    language = corpus.language or detect_language(corpus)[0]
    if card.speaks(language):
        return baseline, True, []
    what = f"{baseline.embedding_model} is made for {', '.join(card.languages)}, the documents are in {language}"
    instead = "the baseline is BM25 alone, and vectors alone are left out; baseline=… names another"
    note = f"reference trials: {what}; {instead}"
    return search_by(baseline, "lexical"), False, [note]


def _unknown_cards(space: Space, cards: EmbedderCards, limits: EmbedderSettings) -> list[Problem]:
    named = {name for kind, parameters in space.tree["embedder"].items() for name in _names(kind, parameters)}
    return [
        Problem(f"embedder.cards.{name}", f"there is no card for {name!r}{suggest_names(name, cards.names())}")
        for name in limits.cards
        if name not in {*cards.names(), *named}
    ]


def _none_left(ruled_out: Mapping[str, str], cards: EmbedderCards, limits: EmbedderSettings, language: str) -> Problem:
    reasons = "; ".join(f"{name} ({reason})" for name, reason in ruled_out.items())
    able = [name for name in cards.names() if not _reason_against(cards.read(name), limits, language)]
    others = f"; cards that would do: {', '.join(able)}" if able else ""
    by_language = any(f"are in {language}" in reason for reason in ruled_out.values())
    hint = "; dataset.language=… says another language, or unknown" if by_language else ""
    words = "; only.retriever=[lexical] objective=evidence_recall searches words alone"
    return Problem("space.embedder", f"no model is left: {reasons}{others}{hint}{words}")


def _names(kind: str, parameters: dict[str, Domain]) -> Sequence[Scalar]:
    if kind == "none":
        return ()
    domain = parameters["name"] if "name" in parameters else Choice((lookup("embedder", kind)().name,))
    return domain.values if isinstance(domain, Choice) else ()


def _card(cards: EmbedderCards, name: str, problems: list[Problem]) -> EmbedderCard | None:
    try:
        return cards.read(name, where="space.embedder.model.name")
    except BadInput as error:
        problems += [problem for problem in error.problems if problem not in problems]
        return None


def _reason_against(card: EmbedderCard, limits: EmbedderSettings, language: str) -> str:
    size, memory = card.parameters_millions, card.memory_gb
    if limits.max_parameters is not None and size is not None and size > limits.max_parameters:
        return f"{size:,.0f} million parameters, embedder.max_parameters is {limits.max_parameters:,.0f}"
    if limits.max_memory_gb is not None and memory is not None and memory > limits.max_memory_gb:
        return f"{memory:.1f} GB of weights, embedder.max_memory_gb is {limits.max_memory_gb:g}"
    if not limits.allow_non_commercial and not card.commercial_use:
        return f"its licence {card.licence} forbids commercial use; embedder.allow_non_commercial is false"
    if not card.speaks(language):
        return f"made for {', '.join(card.languages)}; the documents are in {language}"
    return ""


def _notes_of(name: str, cards: EmbedderCards) -> list[str]:
    notes, card = list[str](), cards.read(name)
    if not card.commercial_use:
        notes.append(f"{name}: its licence {card.licence} forbids commercial use (embedder.allow_non_commercial=false)")
    if not card.verified:
        prompts = f"prompts {card.query_prompt!r} and {card.document_prompt!r}"
        said = "has no card" if name not in cards.names() else "its card is unverified"
        notes.append(
            f"{name}: {said}; its own files say {card.dimensions} dimensions, {card.reads_tokens} tokens, pooling "
            f"by {card.pooling or 'unknown'}, {prompts} (unverified; `python -m rag_opt.card {name}` writes one)"
        )
    return notes


def find_forbidden_rerankers(space: Space, rerankers: CardLibrary[RerankerCard], cards: EmbedderCards) -> list[Problem]:
    """Return the models of rerankers and indexes whose licence forbids commercial use, where that is not allowed."""
    problems = []
    models: list[tuple[str, ModelPart]] = [*find_pair_rerankers(space), *find_model_indexes(space)]
    for where, part in models:
        with contextlib.suppress(BadInput, ImpossiblePipeline):  # reported with everything else
            card = part.find_card(rerankers, cards)
            if not card.commercial_use and (isinstance(card, RerankerCard) or card.vectors == "sparse"):
                limit = "embedder.allow_non_commercial is false"
                what = f"{part.name}: its licence {card.licence} forbids commercial use; {limit}"
                problems.append(Problem(where, what))
    return problems
