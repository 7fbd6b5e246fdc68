"""The models of a space that may take part, by size, licence and language; and notes of what was left out."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence

from rag_opt.core.errors import BadInput, ImpossiblePipeline, Problem, suggest_names
from rag_opt.core.registry import lookup
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard, EmbedderCards
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.setup.schema import EmbedderSettings
from rag_opt.setup.space_models import find_pair_rerankers
from rag_opt.study.space.domains import Choice, Domain, Scalar
from rag_opt.study.space.space import Space, Tree


def filter_models(
    space: Space, cards: EmbedderCards, limits: EmbedderSettings, language: str
) -> tuple[Space, list[str]]:
    """Return the space without the models that the limits rule out, and notes.

    The notes say what was left out and why, and what a person should know of the models that stay. Raises BadInput
    where none is left, and for a limit that names nothing.
    """
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
        problems.append(_none_left(ruled_out, cards, limits, language))
    if problems:
        raise BadInput(problems)
    left = [str(name) for kind, parameters in tree["embedder"].items() for name in _names(kind, parameters)]
    notes = [f"left out: the embedding model {name} ({reason})" for name, reason in ruled_out.items()]
    notes += [note for name in dict.fromkeys(left) for note in _notes_of(name, cards)]
    return dataclasses.replace(space, tree=tree), notes


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
    return Problem("space.embedder", f"no model is left: {reasons}{others}{hint}")


def _names(kind: str, parameters: dict[str, Domain]) -> Sequence[Scalar]:
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
    """Return the rerankers of the space whose licence forbids commercial use, where that is not allowed."""
    problems = []
    for where, part in find_pair_rerankers(space):
        with contextlib.suppress(BadInput, ImpossiblePipeline):  # reported with everything else
            card = part.find_card(rerankers, cards)
            if isinstance(card, RerankerCard) and not card.commercial_use:
                limit = "embedder.allow_non_commercial is false"
                what = f"{part.name}: its licence {card.licence} forbids commercial use; {limit}"
                problems.append(Problem(where, what))
    return problems
