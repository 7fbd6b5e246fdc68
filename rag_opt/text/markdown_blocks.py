"""The blocks of Markdown (CommonMark with tables, by markdown-it-py)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rag_opt.core.documents import Block, BlockKind, Document
from rag_opt.text.trimming import trim

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_LINE_END = re.compile(r"\r\n|\n|\r")  # what CommonMark ends a line by, and nothing else
# YAML between ---, TOML between +++, at the very beginning
_EOL = r"[ \t]*(?:\r\n|\n|\r)"
# a rule may stand at the beginning too: YAML has a key before its end
_FRONT_MATTER = re.compile(
    rf"\A(?:---{_EOL}(?=[^\r\n]*\S)(?=(?:(?!^---).)*?^[\w.\"'-]+[ \t]*:).*?^(?:---|\.\.\.)[ \t]*\r?$"
    rf"|\+\+\+{_EOL}.*?^\+\+\+[ \t]*\r?$)",
    re.DOTALL | re.MULTILINE,
)
_LEAVES: dict[str, BlockKind] = {
    "paragraph_open": "paragraph", "fence": "code", "code_block": "code", "html_block": "paragraph",
}  # fmt: skip


@functools.cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table").disable("inline")


def markdown_blocks(text: str) -> tuple[Block, ...]:
    """Return the blocks of Markdown, in their order. Front matter is metadata, and no heading stands in it."""
    front = _FRONT_MATTER.match(text)
    begin = front.end() if front else 0
    lines = [begin, *(match.end() for match in _LINE_END.finditer(text, begin)), len(text)]
    found = [Block("metadata", 0, begin)] if front else []
    for kind, first, last, level, label, header in _leaves(_parser().parse(text[begin:])):
        place = trim(text, lines[first], lines[min(last, len(lines) - 1)])
        if place is not None:
            start = lines[first] if kind == "code" else place[0]  # its first line may be indented
            found.append(Block(kind, start, place[1], level, label, lines[header] if header else 0))
    return tuple(_with_rest(text, found))


def _with_rest(text: str, blocks: Sequence[Block]) -> Iterator[Block]:
    """Yield the blocks, and what stands between them as paragraphs: the rest of an item behind a list inside it."""
    before = 0
    for block in [*blocks, Block("paragraph", len(text), len(text))]:
        rest = trim(text, before, block.start)
        if rest is not None and any(character.isalnum() for character in text[slice(*rest)]):  # no rule
            yield Block("paragraph", *rest)
        if block.end > block.start:
            yield block
        before = block.end


_Leaf = tuple[BlockKind, int, int, int, str, int]  # kind, first line, line behind the last, level, label, header's end


def _leaves(tokens: Sequence[Token]) -> Iterator[_Leaf]:
    """Yield the lines of blocks that do not overlap: an item of a list ends where a list inside it begins."""
    depth, items, skipped, skipped_level = 0, list[_Leaf](), "", 0
    for token in tokens:
        if skipped:  # inside a quotation or a table
            skipped = "" if token.type == skipped and token.level == skipped_level else skipped
            continue
        first, last = token.map or (0, 0)
        if token.type in ("bullet_list_open", "ordered_list_open"):
            depth += 1
            if items:
                yield from _closed(items, first)
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            depth -= 1
        elif token.type == "list_item_open":
            items.append(("list item", first, last, depth, f"{token.info}{token.markup}", 0))
        elif token.type == "list_item_close":
            yield from _closed(items, None)
        elif items:
            continue
        elif token.type in ("blockquote_open", "table_open"):
            skipped, skipped_level = token.type.replace("_open", "_close"), token.level
            kind: BlockKind = "table" if token.type == "table_open" else "quotation"
            yield kind, first, last, 0, "", first + 2 if kind == "table" and last > first + 2 else 0
        elif token.type == "heading_open":
            yield "heading", first, last, int(token.tag[1:]), "", 0
        elif token.type in _LEAVES:
            yield _LEAVES[token.type], first, last, 0, "", 0


def _closed(items: list[_Leaf], before: int | None) -> Iterator[_Leaf]:
    """Yield the innermost open item, up to a line if one is given; what is left of it is nothing then."""
    kind, first, last, level, label, header = items.pop()
    if before is None:
        if last > first:
            yield kind, first, last, level, label, header
        return
    yield kind, first, before, level, label, header
    items.append((kind, last, last, level, label, header))


def blocks_of(document: Document) -> tuple[Block, ...]:
    """Return the blocks that its reader gave a document; of a text that no reader looked at, those of Markdown."""
    return document.blocks if document.blocks is not None else markdown_blocks(document.text)
