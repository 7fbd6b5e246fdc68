"""What rerankers and indexes with models are handed, for tests of them alone."""

from __future__ import annotations

from typing import Any

from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard, embedder_card_library
from rag_opt.models.llm.budget import BudgetTracker
from rag_opt.models.reranker_cards import RerankerCard, reranker_card_library
from rag_opt.models.reranker_resources import RerankerResources
from rag_opt.models.runtimes import Machine
from rag_opt.store.values import MemoryValues

PLAIN = Machine(device="cpu", runtime="torch", document_precision="float32")


def resources_of(
    rerankers: CardLibrary[RerankerCard] | None = None,
    embedders: CardLibrary[EmbedderCard] | None = None,
    **others: Any,
) -> RerankerResources:
    """Values in memory, plain torch; `others` as RerankerResources has them."""
    given: dict[str, Any] = {
        "values": MemoryValues(),
        "machine": PLAIN,
        "tokens": lambda *_: [],
        "tokens_key": lambda _: "",
        "budget_tracker": BudgetTracker(),
    }
    return RerankerResources(
        rerankers=rerankers or reranker_card_library([]),
        embedders=embedders or embedder_card_library([]),
        **{**given, **others},
    )
