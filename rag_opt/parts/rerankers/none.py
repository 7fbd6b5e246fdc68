"""No reranking."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT


@register("reranker", "none")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoReranker:
    """Keep the order of the retriever."""

    uses_llm: ClassVar[bool] = False

    def rerank(self, candidates: RankedLists) -> RankedLists:
        """Return the lists as they are."""
        return candidates
