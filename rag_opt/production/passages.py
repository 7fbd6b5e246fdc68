"""What a bundle returns: passages, and replies with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from rag_opt.core.documents import Span
from rag_opt.core.strict import PlainDict, PlainMapping


@dataclass(frozen=True)
class Passage:
    """A returned span with its text, and the retriever's score (higher is better).

    `page` (from 1; None without pages) and `headings` (highest first) say where in the document it stands. `header`:
    that of the table that it is a piece of, where it was read with it.
    """

    document: str
    start: int
    end: int
    text: str
    score: float
    page: int | None = None
    headings: tuple[str, ...] = ()
    header: str = ""


@dataclass(frozen=True)
class Reply:
    """The answer to one question, empty when it `refused`, with the `hits` of its context, best first.

    `latency_ms`: milliseconds by stage; of what was remembered, those of the first time.
    """

    question: str
    answer: str
    refused: bool
    hits: tuple[Passage, ...]
    cited: tuple[Span, ...]
    context_tokens: int
    latency_ms: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class PassageSource(Protocol):
    """What finds passages for a question: a bundle, as adapters for other frameworks see it."""

    def retrieve(self, question: str, *, filters: PlainMapping | None = None) -> tuple[Passage, ...]:
        """Return the passages of the context of one question, best first."""
        ...

    def describe_passage(self, passage: Passage) -> PlainDict:
        """Return the metadata of a passage for other frameworks."""
        ...
