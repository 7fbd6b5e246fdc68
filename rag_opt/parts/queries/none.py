from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.registry import register


@register("query", "none")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class AsAsked:
    """The question is searched for as it was asked."""

    needs: ClassVar[frozenset[str]] = frozenset()
