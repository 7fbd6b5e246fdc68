from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Answer, Span
from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary
from rag_opt.models.llm.prompts import Prompt, cited, without_citations
from rag_opt.models.llm.settings import Request


@register("generator", "chat")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ByChat:
    """A language model answers from the context. `prompt`: a file of `conf/prompt/`, with `examples` of its examples
    shown. `order`: in which the passages are read; `document`: as they stand in their documents, the document of the
    best passage first. `temperature`: null is that of the model's settings. How much it reads is the packer's affair.
    """

    prompt: str = "grounded"
    examples: Annotated[int, Ge(0), Le(20)] = 0
    order: Literal["best_first", "best_last", "document"] = "best_first"
    temperature: Annotated[float, Ge(0), Le(2)] | None = None

    requires: ClassVar[frozenset[str]] = frozenset({"model"})

    def check(self, prompts: CardLibrary[Prompt]) -> None:
        """Raises BadInput where there is no such prompt, ImpossiblePipeline where it has too few examples."""
        prompt = prompts.read(self.prompt)
        if not prompt.reads_passages:
            raise ImpossiblePipeline(f"the prompt {self.prompt} reads no passages; it is the floor, and no candidate")
        if self.examples > len(prompt.examples):
            there = len(prompt.examples)
            raise ImpossiblePipeline(f"the prompt {self.prompt} has {there} examples, not {self.examples}")

    def arranged(self, passages: Sequence[Span]) -> list[Span]:
        """The passages, given best first, in the order in which they are read."""
        if self.order == "best_last":
            return list(reversed(passages))
        if self.order == "document":
            place = {one.document_id: rank for rank, one in reversed(list(enumerate(passages)))}
            return sorted(passages, key=lambda one: (place[one.document_id], one.start))
        return list(passages)

    def request(self, question: str, passages: Sequence[str], prompt: Prompt) -> Request:
        """What the model is asked; `passages` as they are read."""
        messages = prompt.messages(question, passages, examples=self.examples)
        return Request(messages, temperature=self.temperature)

    def read(self, reply: str, passages: Sequence[Span], prompt: Prompt) -> Answer:
        """The answer without the marks of its citations; `passages` as they were read."""
        if prompt.refuses(reply):
            return Answer("", refused=True)
        if not prompt.cites:
            return Answer(reply.strip(), False)
        return Answer(
            without_citations(reply, len(passages)), False, tuple(passages[i] for i in cited(reply, len(passages)))
        )

    def closed_book(self) -> ByChat:
        """The same without any passage: what the model knows by itself."""
        return dataclasses.replace(self, prompt="closed_book", examples=0)
