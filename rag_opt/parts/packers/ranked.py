"""The context in the order of the ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Span
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.text.tokenizer_names import DEFAULT_TOKENIZER


class Packed(NamedTuple):
    """A context. `kept` of the hits are in it; `passages` are their spans, overlaps merged, best first."""

    kept: int
    passages: tuple[Span, ...]
    tokens: int


@register("packer", "ranked")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Ranked:
    """Take hits in rank order, overlaps merged, until the context is full.

    The first hit that does not fit ends it. Tokens are those of one tokenizer, whatever the embedding model.
    """

    context_tokens: Annotated[int, Ge(16), Le(1_000_000), Doc("Most tokens of a context.")] = 1500
    tokenizer: Annotated[
        str,
        Doc(
            "What counts them: qwen (byte pairs of Qwen 3.5, fair to every script), wordpiece (BERT's, for English), "
            "an encoding of tiktoken (o200k_base), a tokenizer.json or a folder with one."
        ),
    ] = DEFAULT_TOKENIZER

    def pack(self, hits: Sequence[Span], *, count: Callable[[Span], int]) -> Packed:
        """Return the context. `hits` best first; `count` gives the tokens of a span."""
        passages: list[Span] = []
        tokens = 0
        for rank, hit in enumerate(hits):
            touching = [p for p in passages if _touch(p, hit)]
            joined = _joined([*touching, hit])
            size = tokens + count(joined) - sum(count(passage) for passage in touching)
            if size > self.context_tokens:
                return Packed(rank, tuple(passages), tokens)
            passages, tokens = _replaced(passages, touching, joined), size
        return Packed(len(hits), tuple(passages), tokens)


def _touch(one: Span, other: Span) -> bool:
    return one.document_id == other.document_id and one.start <= other.end and other.start <= one.end


def _joined(spans: Sequence[Span]) -> Span:
    return Span(spans[0].document_id, min(s.start for s in spans), max(s.end for s in spans))


def _replaced(passages: list[Span], touching: list[Span], joined: Span) -> list[Span]:
    """Return the passages with those that touch made one, at the place of the best of them; a new one goes last."""
    if not touching:
        return [*passages, joined]
    first, gone = touching[0], set(touching)
    return [joined if p == first else p for p in passages if p == first or p not in gone]
