"""A language model says for each question which lists are of use to it."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.llm.settings import Request

_ASK = (
    "A search engine can look for the exact words of a question, for passages of the same meaning, or for both. Exact "
    "words suit names, numbers, codes and quotations; meaning suits questions in everyday words; both suit the rest. "
    "Which suits this question? Answer with one word: words, meaning or both.\n\nQuestion: {question}"
)
_ROUTES: dict[str, frozenset[str]] = {
    "words": frozenset({"lexical"}),
    "meaning": frozenset({"dense"}),
    "both": frozenset({"dense", "lexical"}),
}


@register("query", "route")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Routed:
    """Have a language model choose for each question whether words, vectors or both are searched.

    For retrievers that have both lists. Where the reply names none, both are searched.
    """

    uses_llm: ClassVar[bool] = True

    def request(self, question: str) -> Request:
        """Return what the model is asked."""
        return Request([{"role": "user", "content": _ASK.format(question=question)}])

    def read_route(self, reply: str) -> frozenset[str]:
        """Return the lists of the first route that a reply names; empty where it names none."""
        named = re.findall(r"\b(words|meaning|both)\b", reply.casefold())
        return _ROUTES[named[0]] if named else frozenset()
