"""The blocks of texts that mark their structure in other ways than Markdown: reStructuredText, AsciiDoc, LaTeX.

The text stays as it is written; only where its headings, code and tables lie is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from rag_opt.core.documents import Block, BlockKind
from rag_opt.text.plain_blocks import plain_blocks

_RST_TITLE = re.compile(
    r"^(?:(?P<over>[^\w\s])(?P=over)+[ \t]*\r?\n)?[ \t]*\S.*\n(?P<under>[^\w\s])(?P=under)+[ \t]*\r?$", re.MULTILINE
)
_RST_DIRECTIVE = re.compile(r"^\.\. (?:code|code-block|sourcecode|literalinclude|prompt)::")
_ADOC_TITLE = re.compile(r"^(={1,6})[ \t]+\S")
_ADOC_FENCE = re.compile(r"^(-{4,}|\.{4,}|\|={3,})[ \t]*\r?$", re.MULTILINE)
_TEX_TITLE = re.compile(r"^\\(part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]]*\])?\{")
_TEX_LEVELS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph")
_TEX_CODE = re.compile(r"\\begin\{(verbatim|lstlisting|minted|alltt)\*?\}.*?\\end\{\1\*?\}", re.DOTALL)
_TEX_TITLE_LINE = re.compile(
    r"^[ \t]*\\(?:part|chapter|section|subsection|subsubsection|paragraph)\*?[\[{].*$", re.MULTILINE
)
_ADOC_TITLE_LINE = re.compile(r"^={1,6}[ \t]+\S.*$", re.MULTILINE)

_Classify = Callable[[str], tuple[BlockKind, int] | None]


def restructured_text_blocks(text: str) -> tuple[Block, ...]:
    """Return the blocks of reStructuredText. Marks of titles are of the levels in whose order they first come."""
    levels, found, literal = list[str](), list[Block](), False
    for block in plain_blocks(text):
        content = text[block.start : block.end]
        title = _RST_TITLE.match(content)
        first_line = text.rfind("\n", 0, block.start) + 1
        indented = block.start > first_line
        if title and not indented:
            mark = f"{title['over'] or ''}{title['under']}"
            levels += [mark] if mark not in levels else []
            end = block.start + title.end()
            found.append(Block("heading", block.start, end, min(levels.index(mark) + 1, 6)))
            rest = text[end : block.end].lstrip()
            if rest:
                found.append(Block("paragraph", block.end - len(rest), block.end))
        elif literal and indented:
            found.append(Block("code", first_line, block.end))
            continue
        else:
            kind: BlockKind = "code" if _RST_DIRECTIVE.match(content) else "paragraph"
            found.append(Block(kind, block.start, block.end))
        literal = content.endswith("::") or bool(_RST_DIRECTIVE.match(content))
    return tuple(found)


def asciidoc_blocks(text: str) -> tuple[Block, ...]:
    """Return the blocks of AsciiDoc: titles by their signs, listings and tables by their fences."""

    def classify(content: str) -> tuple[BlockKind, int] | None:
        title = _ADOC_TITLE.match(content)
        return ("heading", len(title[1])) if title else None

    fences = _fenced(text, _ADOC_FENCE)
    return tuple(_between(text, fences, _ADOC_TITLE_LINE, classify))


def latex_blocks(text: str) -> tuple[Block, ...]:
    """Return the blocks of LaTeX: sections by their commands, listings by their environments."""

    def classify(content: str) -> tuple[BlockKind, int] | None:
        title = _TEX_TITLE.match(content)
        return ("heading", _TEX_LEVELS.index(title[1]) + 1) if title else None

    fences: list[tuple[int, int, BlockKind]] = [(*match.span(), "code") for match in _TEX_CODE.finditer(text)]
    return tuple(_between(text, fences, _TEX_TITLE_LINE, classify))


def _fenced(text: str, fence: re.Pattern[str]) -> list[tuple[int, int, BlockKind]]:
    """Return what lies between two equal fences."""
    found, open_ = list[tuple[int, int, BlockKind]](), None
    for match in fence.finditer(text):
        if open_ is None:
            open_ = match
        elif match[1] == open_[1]:
            found.append((open_.start(), match.end(), "table" if match[1].startswith("|") else "code"))
            open_ = None
    return found


def _between(
    text: str, fences: list[tuple[int, int, BlockKind]], titles: re.Pattern[str], classify: _Classify
) -> Iterator[Block]:
    """Yield the fenced blocks, and between them titles and paragraphs."""
    edges: list[tuple[int, int, BlockKind]] = [(0, 0, "paragraph"), *fences, (len(text), len(text), "paragraph")]
    for (_, start, _), (end, behind, kind) in pairwise(edges):
        cuts = [start, *(place for match in titles.finditer(text, start, end) for place in match.span()), end]
        for first, last in pairwise(cuts):
            for block in plain_blocks(text[first:last]):
                content = text[first + block.start : first + block.end]
                found, level = classify(content) or ("paragraph", 0)
                yield Block(found, first + block.start, first + block.end, level)
        if behind > end:
            yield Block(kind, end, behind)
