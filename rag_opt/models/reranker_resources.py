"""What a part with a model is handed: the cards it may name, the store of values, and what is known of this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rag_opt.models.cards import CardLibrary
from rag_opt.models.runtimes import Machine
from rag_opt.store.values import Values


@dataclass(frozen=True)
class RerankerResources:
    """`tokens`: (offsets, vectors) of the tokens of each text by an embedding model's card name, for a purpose;
    `tokens_key`: what determines them.
    """

    rerankers: CardLibrary[Any]
    values: Values
    machine: Machine
    tokens: Callable[[str, Sequence[str], Any], Sequence[tuple[Any, Any]]]
    tokens_key: Callable[[str], str]
