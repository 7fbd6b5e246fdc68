"""Resources of a reranker or an index with a model: the cards it may name, the store of values, and the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag_opt.models.cards import CardLibrary
    from rag_opt.models.embedder_cards import EmbedderCard
    from rag_opt.models.llm.budget import BudgetTracker
    from rag_opt.models.purposes import Purpose
    from rag_opt.models.reranker_cards import RerankerCard
    from rag_opt.models.runtimes import Machine
    from rag_opt.models.token_vectors import TokenVectors
    from rag_opt.store.values import Values


@dataclass(frozen=True)
class RerankerResources:
    """Cards, values and machine that a reranker or an index with a model of its own is given.

    `tokens`: gives (offsets, vectors) of the tokens of each text by the card's name of an embedding model, for a
    purpose; `tokens_key`: gives the hash of everything that determines them. `budget_tracker`: where requests to a
    service with a price are booked. `spend` is told the stage, work and seconds of what was encoded.
    """

    rerankers: CardLibrary[RerankerCard]
    embedders: CardLibrary[EmbedderCard]
    values: Values
    machine: Machine
    tokens: Callable[[str, Sequence[str], Purpose], Sequence[TokenVectors]]
    tokens_key: Callable[[str], str]
    budget_tracker: BudgetTracker
    spend: Callable[[str, float, float], None] = lambda stage, work, seconds: None


class PairScorer(Protocol):
    """A model that scores how well a text answers a question."""

    @property
    def key(self) -> str:
        """Hash of everything that determines its scores."""
        ...

    def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one number per (question, text); higher is better."""
        ...
