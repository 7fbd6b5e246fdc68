from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.records import Candidates
from rag_opt.registry import register


@register("reranker", "none")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoReranker:
    """Keeps the order of the retriever."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def rerank(self, candidates: Candidates) -> Candidates:
        return candidates
