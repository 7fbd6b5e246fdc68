"""Chunks of Markdown, by its headings."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Chunk, Document
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.interfaces import ChunkerDefaults
from rag_opt.text.cutting import Piece, cut, to_chunks
from rag_opt.text.tokens import Tokenizer, TokenMap

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_LINE_END = re.compile(r"\r\n|\n|\r")  # what CommonMark ends a line by, and nothing else
_FRONT_MATTER = re.compile(r"\A---[ \t]*(?:\r\n|\n|\r).*?^(?:---|\.\.\.)[ \t]*$", re.DOTALL | re.MULTILINE)
_MOST_OF_A_CHUNK = 0.5  # that the headings above it may take


@register("chunker", "markdown")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Markdown(ChunkerDefaults):
    """Cut Markdown into the sections between its headings; one of more than `size` tokens is cut as `recursive` does.

    CommonMark, by markdown-it-py.
    """

    size: Annotated[int, Ge(8), Le(32768), Doc("Largest chunk, in tokens of the embedder.")] = 224
    level: Annotated[int, Ge(1), Le(6), Doc("Lowest level of a heading that begins a section.")] = 3
    headings: Annotated[
        Literal["none", "path"], Doc("`path` puts the headings above a chunk before what is embedded, within `size`.")
    ] = "none"

    def split(self, document: Document, *, tokenizer: Tokenizer) -> list[Chunk]:
        """Return the chunks, each with the headings above it where they are wanted."""
        text = document.text
        tokens, chunks = TokenMap(tokenizer.starts(text)), list[Chunk]()
        for section, above, own in self._sections(text):
            # the heading of a section stands in the text of its first chunk already
            first, later = (self._said(path, tokenizer) for path in (above, [*above, *own]))
            size = self.size - max(tokens_of(tokenizer, first), tokens_of(tokenizer, later))
            for number, chunk in enumerate(to_chunks(text, cut(text, section, tokens, size=size))):
                said = later if number else first
                content = f"{said}\n\n{text[chunk.start : chunk.end]}" if said else None
                chunks.append(Chunk(chunk.start, chunk.end, content))
        return chunks

    def _sections(self, text: str) -> Iterator[tuple[Piece, list[str], list[str]]]:
        """Yield sections, each with the headings above it from the highest to the lowest, and its own."""
        start, above, own, open_ = 0, list[str](), list[str](), dict[int, str]()
        for at, level, title in headings(text):
            if level > self.level:
                continue
            if at > start:
                yield (start, at), above, own
            open_ = {key: value for key, value in open_.items() if key < level}
            start, above, own = at, [open_[key] for key in sorted(open_)], [title]
            open_[level] = title
        yield (start, len(text)), above, own

    def _said(self, above: list[str], tokenizer: Tokenizer) -> str:
        """Return the lowest headings that together leave most of the chunk to its content; empty if none are wanted."""
        if self.headings == "none":
            return ""
        most = int(self.size * _MOST_OF_A_CHUNK)
        while above and tokens_of(tokenizer, " > ".join(above)) > most:
            above = above[1:]
        return " > ".join(above)


def tokens_of(tokenizer: Tokenizer, text: str) -> int:
    """Return the tokens of a text, special tokens left out."""
    return int(tokenizer.lengths([text])[0]) - tokenizer.special_tokens if text else 0


@functools.cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").disable("inline")


def headings(text: str) -> list[tuple[int, int, str]]:
    """Return (offset of its line, level from 1, title) of every heading that stands in no list and no quotation."""
    front = _FRONT_MATTER.match(text)
    begin = front.end() if front else 0
    starts = [0, *(match.end() for match in _LINE_END.finditer(text, begin)), len(text)]
    starts[0] = begin
    tokens = _parser().parse(text[begin:])
    return [
        (starts[token.map[0]], int(token.tag[1:]), " ".join(following.content.split()))
        for token, following in itertools.pairwise(tokens)
        if token.type == "heading_open" and token.level == 0 and token.map is not None
    ]
