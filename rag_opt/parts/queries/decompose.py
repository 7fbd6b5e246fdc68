"""The single questions that a question is made of, by a language model."""

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
    "Some questions need facts from several places. If this one does, write the single questions whose answers it "
    "needs, at most {count}, one a line, each understandable without the others. If it needs one fact alone, write it "
    "again as it is. Nothing else.\n\nQuestion: {question}"
)
_MOST_TIMES_LONGER = 2


@register("query", "decompose")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class SingleQuestions:
    """Have a language model take a question apart that needs several facts (as Press et al., 2023), and search for all.

    Every list is fetched for the question and for each part of it, and fused by reciprocal ranks. A question that needs
    one fact is searched for as it is.
    """

    parts: Annotated[int, Ge(2), Le(8), Doc("Most questions that one is taken apart into.")] = 4

    uses_llm: ClassVar[bool] = True

    def requests(self, question: str) -> list[Request]:
        """Return the one request for all parts."""
        return [Request([{"role": "user", "content": _ASK.format(question=question, count=self.parts)}])]

    def read_rewordings(self, question: str, reply: str) -> list[str]:
        """Return the question and its parts, each once; alone where the reply repeats it or holds nothing of use."""
        parts = read_questions(reply, times_longer=_MOST_TIMES_LONGER, than=question)
        return [question, *parts[: self.parts]]

    def is_answered_by(self, question: str, reply: str) -> bool:
        """Return whether a reply says something: parts, or the question again, as one that needs no parts."""
        return len(self.read_rewordings(question, reply)) > 1 or question.casefold() in reply.casefold()
