"""The title of its document before a chunk."""

from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Document
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT

_CHARACTERS_PER_TOKEN = 3  # few, so that a title of so many characters has hardly more tokens


@register("chunk_context", "title")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class TitleContext:
    """Put the title of its document before a chunk where it is embedded and indexed; answers never quote it."""

    most_tokens: Annotated[int, Ge(4), Le(200), Doc("Most tokens of a title, about; longer ones are cut.")] = 24

    uses_llm: ClassVar[bool] = False

    def describe(self, document: Document) -> str:
        """Return what stands before each chunk of a document; empty where it has no title."""
        return document.title.strip()[: self.most_tokens * _CHARACTERS_PER_TOKEN].rstrip()
