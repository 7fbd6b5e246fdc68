from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.records import Span
from rag_opt.registry import register


class Packed(NamedTuple):
    """`kept`: how many of the hits are in the context; `passages`: their text, overlaps merged, best first."""

    kept: int
    passages: tuple[Span, ...]
    tokens: int


@register("packer", "ranked")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Ranked:
    """Hits in rank order, overlaps merged, until `context_tokens` is full.

    The first hit that does not fit ends it. Tokens are those of one fixed tokenizer, alike for every model.
    """

    context_tokens: Annotated[int, Ge(16), Le(1_000_000)] = 1500

    def pack(self, hits: Sequence[Span], *, count: Callable[[Span], int]) -> Packed:
        passages: list[Span] = []
        tokens = 0
        for rank, hit in enumerate(hits):
            merged = _with(passages, hit)
            size = sum(count(passage) for passage in merged)
            if size > self.context_tokens:
                return Packed(rank, tuple(passages), tokens)
            passages, tokens = merged, size
        return Packed(len(hits), tuple(passages), tokens)


def _with(passages: list[Span], hit: Span) -> list[Span]:
    """The passages with one more hit; those that it overlaps become one, at the place of the best of them."""
    touching = [p for p in passages if p.document_id == hit.document_id and p.start <= hit.end and hit.start <= p.end]
    if not touching:
        return [*passages, hit]
    both = [*touching, hit]
    joined = Span(hit.document_id, min(p.start for p in both), max(p.end for p in both))
    return [joined if p is touching[0] else p for p in passages if p is touching[0] or p not in touching]
