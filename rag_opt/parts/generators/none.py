"""No answers."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT


@register("generator", "none")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoGenerator:
    """Answer nothing: the passages are the result.

    A search takes it by itself where its objectives look at no answer.
    """

    uses_llm: ClassVar[bool] = False
    answers: ClassVar[bool] = False
