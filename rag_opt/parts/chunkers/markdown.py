"""Chunks of sections, by headings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Chunk, Document
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.core.structure import heading_title
from rag_opt.parts.defaults import TableDefaults, TableSetting
from rag_opt.text.cutting import Piece, cut
from rag_opt.text.markdown_blocks import blocks_of
from rag_opt.text.table_headers import map_tokens, to_chunks_with_headers
from rag_opt.text.tokens import Tokenizer

_MOST_OF_A_CHUNK = 0.5  # that the headings above it may take


@register("chunker", "markdown")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Markdown(TableDefaults):
    """Cut a document into the sections between its headings; one of more than `size` tokens is cut as `recursive` does.

    The headings are those that its reader found; a text that no reader looked at is read as CommonMark.
    """

    size: Annotated[int, Ge(8), Le(32768), Doc("Largest chunk, in tokens of the embedder.")] = 224
    level: Annotated[int, Ge(1), Le(6), Doc("Lowest level of a heading that begins a section.")] = 3
    headings: Annotated[
        Literal["none", "path"], Doc("`path` puts the headings above a chunk before what is embedded, within `size`.")
    ] = "none"
    tables: TableSetting = "header"

    def split(self, document: Document, *, tokenizer: Tokenizer) -> list[Chunk]:
        """Return the chunks, each with the headings above it where they are wanted."""
        text = document.text
        tokens = map_tokens(document, tokenizer, size=self.size, repeats_headers=self.repeats_headers)
        chunks = list[Chunk]()
        for section, above, own in self._sections(document):
            # the heading of a section stands in the text of its first chunk already
            first, later = (self._said(path, tokenizer) for path in (above, [*above, *own]))
            size = self.size - max(tokens_of(tokenizer, first), tokens_of(tokenizer, later))
            pieces = cut(text, section, tokens, size=size)
            for number, chunk in enumerate(to_chunks_with_headers(text, pieces, tokens)):
                said, content = later if number else first, chunk.embed_text
                if said:
                    content = f"{said}\n\n{content or text[chunk.start : chunk.end]}"
                chunks.append(Chunk(chunk.start, chunk.end, content))
        return chunks

    def _sections(self, document: Document) -> Iterator[tuple[Piece, list[str], list[str]]]:
        """Yield sections, each with the headings above it from the highest to the lowest, and its own."""
        text = document.text
        start, above, own, open_ = 0, list[str](), list[str](), dict[int, str]()
        for block in blocks_of(document):
            at, level = block.start, block.level
            if block.kind != "heading" or level > self.level:
                continue
            title = heading_title(text[at : block.end])
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
