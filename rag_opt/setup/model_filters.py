"""Which embedding models of a space may take part: by size, licence and language; and what was left out, in words."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

from rag_opt.core.errors import BadInput, Problem, among
from rag_opt.core.registry import lookup
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard, EmbedderCards
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.setup.preflight import reranker_names
from rag_opt.setup.schema import EmbedderSettings
from rag_opt.study.space.domains import Choice, Domain
from rag_opt.study.space.space import Space, Tree


def filter_models(
    space: Space, cards: EmbedderCards, limits: EmbedderSettings, language: str, notes: list[str]
) -> Space:
    """The space without the models that the limits rule out; `notes` get what was left out and why, and what a person
    should know of those that stay. Raises BadInput where none is left, and for a limit that names nothing.
    """
    problems = [
        Problem(f"embedder.cards.{name}", f"there is no card for {name!r}{among(name, cards.names())}")
        for name in limits.cards
        if name not in {*cards.names(), *(value for value, _ in _named(space))}
    ]
    out: dict[str, str] = {}
    tree: Tree = {slot: dict(kinds) for slot, kinds in space.tree.items()}
    for kind, parameters in space.tree["embedder"].items():
        kept, asked = list[object](), _names(kind, parameters)
        for name in asked:
            card = _card(cards, str(name), problems)
            why = _why_not(card, limits, language) if card is not None else ""
            if why:
                out[str(name)] = why
            else:
                kept.append(name)
        if asked and not kept:
            del tree["embedder"][kind]
        elif asked and "name" in parameters:
            tree["embedder"][kind] = {**parameters, "name": Choice(tuple(kept))}  # type: ignore[arg-type]
    notes += [f"left out: the embedding model {name} ({why})" for name, why in out.items()]
    if not tree["embedder"] and not problems:
        whys = "; ".join(f"{name} ({why})" for name, why in out.items())
        able = [name for name in cards.names() if not _why_not(cards.read(name), limits, language)]
        others = f"; cards that would do: {', '.join(able)}" if able else ""
        by_language = any(f"are in {language}" in why for why in out.values())
        said = "; dataset.language=… says another language, or unknown" if by_language else ""
        problems.append(Problem("space.embedder", f"no model is left: {whys}{others}{said}"))
    if problems:
        raise BadInput(problems)
    named = [str(name) for kind, parameters in tree["embedder"].items() for name in _names(kind, parameters)]
    notes += [note for name in dict.fromkeys(named) for note in _to_know(name, cards)]
    return dataclasses.replace(space, tree=tree)


def _named(space: Space) -> list[tuple[object, str]]:
    return [(name, kind) for kind, parameters in space.tree["embedder"].items() for name in _names(kind, parameters)]


def _names(kind: str, parameters: dict[str, Domain]) -> Sequence[object]:
    domain = parameters["name"] if "name" in parameters else Choice((lookup("embedder", kind)().name,))
    return domain.values if isinstance(domain, Choice) else ()


def _card(cards: EmbedderCards, name: str, problems: list[Problem]) -> EmbedderCard | None:
    try:
        return cards.read(name, where="space.embedder.model.name")
    except BadInput as error:
        problems += [problem for problem in error.problems if problem not in problems]
        return None


def _why_not(card: EmbedderCard, limits: EmbedderSettings, language: str) -> str:
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


def _to_know(name: str, cards: EmbedderCards) -> list[str]:
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


def forbidden_rerankers(space: Space, rerankers: CardLibrary[RerankerCard]) -> list[Problem]:
    """Rerankers of the space whose licence forbids commercial use, where that is not allowed."""
    problems = []
    for name in reranker_names(space, rerankers):
        with contextlib.suppress(BadInput):  # one without a card is reported with everything else
            card = rerankers.read(name)
            if not card.commercial_use:
                what = (
                    f"{name}: its licence {card.licence} forbids commercial use; embedder.allow_non_commercial is false"
                )
                problems.append(Problem("space.reranker", what))
    return problems
