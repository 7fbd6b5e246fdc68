"""Answers by a language model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Answer, Span
from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary
from rag_opt.models.llm.prompts import Prompt, find_citations, remove_citations
from rag_opt.models.llm.settings import Request


@register("generator", "chat")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Chat:
    """Have a language model answer from the context. The packer says how much it reads."""

    prompt: Annotated[str, Doc("Name of a file of conf/prompt/.")] = "grounded"
    examples: Annotated[int, Ge(0), Le(20), Doc("Examples of the prompt that are shown.")] = 0
    order: Annotated[
        Literal["best_first", "best_last", "document"],
        Doc("Order in which passages are read; document: as in their documents, that of the best passage first."),
    ] = "best_first"
    temperature: Annotated[
        Annotated[float, Ge(0), Le(2)] | None, Doc("Temperature of the answers; null: that of the model's settings.")
    ] = None

    uses_llm: ClassVar[bool] = True

    def check(self, prompts: CardLibrary[Prompt]) -> None:
        """Raise BadInput where there is no such prompt, ImpossiblePipeline where it has too few examples."""
        prompt = prompts.read(self.prompt)
        if not prompt.reads_passages:
            raise ImpossiblePipeline(
                f"the prompt {self.prompt} reads no passages; it is for the closed-book bound, and no candidate"
            )
        if self.examples > len(prompt.examples):
            there = len(prompt.examples)
            raise ImpossiblePipeline(f"the prompt {self.prompt} has {there} examples, not {self.examples}")

    def arrange(self, passages: Sequence[Span]) -> list[Span]:
        """Return the passages, given best first, in the order in which they are read."""
        if self.order == "best_last":
            return list(reversed(passages))
        if self.order == "document":
            place = {one.document_id: rank for rank, one in reversed(list(enumerate(passages)))}
            return sorted(passages, key=lambda one: (place[one.document_id], one.start))
        return list(passages)

    def request(self, question: str, passages: Sequence[str], prompt: Prompt) -> Request:
        """Return what the model is asked; `passages` as they are read."""
        messages = prompt.messages(question, passages, examples=self.examples)
        return Request(messages, temperature=self.temperature)

    def read_answer(self, reply: str, passages: Sequence[Span], prompt: Prompt) -> Answer:
        """Return the answer without the marks of its citations; `passages` as they were read."""
        if prompt.refuses(reply):
            return Answer("", refused=True)
        if not prompt.cites:
            return Answer(reply.strip(), False)
        citations = tuple(passages[i] for i in find_citations(reply, len(passages)))
        return Answer(remove_citations(reply, len(passages)), False, citations)

    def closed_book(self) -> Chat:
        """Return the generator without any passage: what the model knows by itself."""
        return dataclasses.replace(self, prompt="closed_book", examples=0)
