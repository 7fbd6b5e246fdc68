"""Resources of a reranker with a model: the cards it may name, the store of values, and the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag_opt.models.cards import CardLibrary
    from rag_opt.models.llm.budget import BudgetTracker
    from rag_opt.models.purposes import Purpose
    from rag_opt.models.reranker_cards import RerankerCard
    from rag_opt.models.runtimes import Machine
    from rag_opt.models.token_vectors import TokenVectors
    from rag_opt.store.values import Values


@dataclass(frozen=True)
class RerankerResources:
    """Cards, values and machine that a reranker with a model is given.

    `tokens`: gives (offsets, vectors) of the tokens of each text by the card's name of an embedding model, for a
    purpose; `tokens_key`: gives the hash of everything that determines them. `budget_tracker`: where requests to a
    service with a price are booked.
    """

    rerankers: CardLibrary[RerankerCard]
    values: Values
    machine: Machine
    tokens: Callable[[str, Sequence[str], Purpose], Sequence[TokenVectors]]
    tokens_key: Callable[[str], str]
    budget_tracker: BudgetTracker


class PairScorer(Protocol):
    """A model that scores how well a text answers a question."""

    @property
    def key(self) -> str:
        """Hash of everything that determines its scores."""
        ...

    def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one number per (question, text); higher is better."""
        ...
