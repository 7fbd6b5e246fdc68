from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT


@register("query", "none")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class AsAsked:
    """The question is searched for as it was asked."""

    requires: ClassVar[frozenset[str]] = frozenset()
