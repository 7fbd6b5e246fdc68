"""Rewordings of the question by a language model."""

from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.llm.settings import Request
from rag_opt.text.reply_lines import read_questions

_ASK = (
    "Reword the question in {count} different ways that a search could find other passages by: other words, other "
    "points of view, the same meaning. One a line, nothing else.\n\nQuestion: {question}"
)
_MOST_TIMES_LONGER = 3


@register("query", "multi_query")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Rewordings:
    """Have a language model reword the question, and search for all of them.

    Every list is fetched for the question and for each rewording, and fused by reciprocal ranks.
    """

    rewordings: Annotated[int, Ge(1), Le(10), Doc("Rewordings that are asked for.")] = 3

    uses_llm: ClassVar[bool] = True

    def requests(self, question: str) -> list[Request]:
        """Return the one request for all rewordings."""
        return [Request([{"role": "user", "content": _ASK.format(question=question, count=self.rewordings)}])]

    def read_rewordings(self, question: str, reply: str) -> list[str]:
        """Return the question and its rewordings, each once; labels and what is far longer than a question are none."""
        others = read_questions(reply, times_longer=_MOST_TIMES_LONGER, than=question)
        return [question, *others[: self.rewordings]]

    def is_answered_by(self, question: str, reply: str) -> bool:
        """Return whether a reply holds a rewording."""
        return len(self.read_rewordings(question, reply)) > 1
