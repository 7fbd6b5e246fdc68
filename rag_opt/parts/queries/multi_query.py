"""Rewordings of the question by a language model."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.llm.settings import Request

_ASK = (
    "Reword the question in {count} different ways that a search could find other passages by: other words, other "
    "points of view, the same meaning. One a line, nothing else.\n\nQuestion: {question}"
)
_NUMBERING = re.compile(r"^\s*(?:[-*•]|\(?\d+[.):])?\s*")
# what a model writes before a rewording, and lines that are nothing else
_LABEL = re.compile(r"^(?:(?:re)?(?:worded )?(?:question|rewording|query|version)s?|q|a|answer)\s*\d*\s*:\s*", re.I)
_ANNOUNCEMENT = re.compile(r"^(?:here (?:is|are)|sure|certainly|of course)\b.*[:!.]$", re.I)
_LEAST_WORDS, _MOST_TIMES_LONGER, _MORE_CHARACTERS = 2, 3, 100


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
        longest = _MOST_TIMES_LONGER * len(question) + _MORE_CHARACTERS
        lines = (_LABEL.sub("", _NUMBERING.sub("", line)).strip().strip('"') for line in reply.splitlines())
        found = [line for line in lines if _has_words(line) and len(line) <= longest and not _ANNOUNCEMENT.match(line)]
        others = [line for line in dict.fromkeys(found) if line.casefold() != question.casefold()]
        return [question, *others[: self.rewordings]]

    def is_answered_by(self, question: str, reply: str) -> bool:
        """Return whether a reply holds a rewording."""
        return len(self.read_rewordings(question, reply)) > 1


def _has_words(line: str) -> bool:
    """Return whether a line may be a question; scripts without spaces have one word to a line."""
    return len(line.split()) >= _LEAST_WORDS or (len(line) > _LEAST_WORDS and not line.isascii())
