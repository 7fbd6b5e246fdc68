"""The table of all cards: what a person looks at to choose models for a space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rag_opt.models.cards import ModelCard
from rag_opt.models.embedder_cards import EmbedderCard, embedder_card_library
from rag_opt.models.reranker_cards import RerankerCard, reranker_card_library

_HEAD = "| {name} | parameters | {width}reads | languages | published | licence | runs by |\n| --- |{rule}"
_INTRODUCTION = """# Cards of models

Written by `python -m rag_opt.card --markdown`, from `conf/embedder/*.yaml` and `conf/reranker/*.yaml`, where the
sources of the facts stand. An empty place is not known to us. [models.md](models.md) says how they are used.

Only scores of one benchmark can be compared; a published score is a prior, nothing more.
"""


def cards_markdown(conf_folders: Sequence[Path]) -> str:
    """Return the tables of all embedding models and rerankers as Markdown."""
    embedders, rerankers = embedder_card_library(conf_folders), reranker_card_library(conf_folders)
    tables = [
        "## Embedding models\n",
        _HEAD.format(name="embedder", width="dimensions | ", rule=" --- |" * 7),
        *(_embedder_row(name, embedders.read(name)) for name in embedders.names()),
        "\n## Rerankers\n",
        _HEAD.format(name="reranker", width="", rule=" --- |" * 6),
        *(_reranker_row(name, rerankers.read(name)) for name in rerankers.names()),
    ]
    return "\n".join([_INTRODUCTION, *tables]) + "\n"


def _embedder_row(name: str, card: EmbedderCard) -> str:
    cuts = f" ({', '.join(map(str, card.matryoshka))})" if card.matryoshka else ""
    width = "words" if card.vectors == "sparse" else f"{card.dimensions}{cuts}"
    return _row([f"`{name}`", _size(card), width, *_facts(card), _runs_by(card, card.backend)])


def _reranker_row(name: str, card: RerankerCard) -> str:
    by = "litellm" if card.hosted else card.architecture.replace("_", " ")
    return _row([f"`{name}`", _size(card), *_facts(card), _runs_by(card, by)])


def _facts(card: ModelCard) -> Iterator[str]:
    yield f"{card.reads_tokens:,}"
    yield ", ".join(card.languages)
    yield "; ".join(f"{one.score:.1f} {one.metric} {one.benchmark}" for one in card.published)
    yield card.licence + ("" if card.commercial_use else ", no commercial use")


def _size(card: ModelCard) -> str:
    if card.parameters_millions is None:
        return ""
    billions = card.parameters_millions / 1000
    return f"{billions:.1f} B" if billions >= 1 else f"{card.parameters_millions:.0f} M"


def _runs_by(card: ModelCard, how: str) -> str:
    return f"{how}, its own code" if card.custom_code and how == "sentence_transformers" else how


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
