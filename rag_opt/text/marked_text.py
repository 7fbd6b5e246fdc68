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
    r"^(?:(?P<over>[^\w\s])(?P=over)+[ \t]*\r?\n)?"
    r"(?P<title>[ \t]*\S.*)\n(?P<marks>(?P<under>[^\w\s])(?P=under)+)[ \t]*\r?$",
    re.MULTILINE,
)
_SHORTEST_UNDERLINE = 4  # signs: a shorter one is a title's only where it is as long as its words
_RST_TABLE = re.compile(r"=+(?: +=+)+[ \t]*\r?$|\+(?:-+\+)+[ \t]*\r?$", re.MULTILINE)  # by spaces, or a grid
_RST_HEADER = re.compile(r".*\n(?:.*\S.*\n)+?[ \t]*=+(?: +=+)+[ \t]*(?:\r?\n|$)")
_RST_GRID_HEADER = re.compile(r".*\n(?:.*\S.*\n)+?[ \t]*\+(?:=+\+)+[ \t]*(?:\r?\n|$)")
_RST_DIRECTIVE = re.compile(r"^\.\. (?:code|code-block|sourcecode|literalinclude|prompt)::")
_ADOC_TITLE = re.compile(r"^(={1,6})[ \t]+\S")
_ADOC_FENCE = re.compile(r"^(-{4,}|\.{4,}|\|={3,})[ \t]*\r?$", re.MULTILINE)
_TEX_TITLE = re.compile(r"^\\(part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]]*\])?\{")
_TEX_LEVELS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph")
_TEX_CODE = re.compile(r"\\begin\{(verbatim|lstlisting|minted|alltt)\*?\}.*?\\end\{\1\*?\}", re.DOTALL)
_TEX_TABLE = re.compile(r"\\begin\{(tabular[xy*]?|longtable|tabu|tblr|array)\}.*?\\end\{\1\}", re.DOTALL)
# the first row, and the line below it
_TEX_HEADER = re.compile(
    r"[^\n]*\n(?:[ \t]*\\(?:toprule|hline)[ \t]*\n)?[^\n]*\\\\[ \t]*\n?[ \t]*\\(?:midrule|hline)[ \t]*\r?\n"
)
_TEX_TITLE_LINE = re.compile(
    r"^[ \t]*\\(?:part|chapter|section|subsection|subsubsection|paragraph)\*?[\[{].*$", re.MULTILINE
)
_ADOC_TITLE_LINE = re.compile(r"^={1,6}[ \t]+\S.*$", re.MULTILINE)

_ADOC_HEADER = re.compile(
    r"\|={3,}[ \t]*\r?\n[^\r\n]*\S[^\r\n]*\r?\n[ \t]*\r?\n"
)  # an empty line below names of columns
_Fenced = tuple[int, int, BlockKind, int]  # start, end, kind, end of a table's header
_Classify = Callable[[str], tuple[BlockKind, int] | None]


def restructured_text_blocks(text: str) -> tuple[Block, ...]:
    """Return the blocks of reStructuredText. Marks of titles are of the levels in whose order they first come."""
    levels, found, literal = list[str](), list[Block](), False
    for block in plain_blocks(text):
        content = text[block.start : block.end]
        first_line = text.rfind("\n", 0, block.start) + 1
        indented = block.start > first_line
        if literal and indented:
            found.append(Block("code", first_line, block.end))
            continue
        if table := _RST_TABLE.match(content):
            header = _RST_HEADER.match(content) if "=" in table[0] else _RST_GRID_HEADER.match(content)
            end = block.start + header.end() if header and header.end() < len(content) else 0
            found.append(Block("table", block.start, block.end, header_end=end))
        elif indented or _RST_DIRECTIVE.match(content):
            found.append(Block("code" if _RST_DIRECTIVE.match(content) else "paragraph", block.start, block.end))
        else:
            found += _parted_at_titles(text, block, levels)
        literal = content.endswith("::") or bool(_RST_DIRECTIVE.match(content))
    return tuple(found)


def _parted_at_titles(text: str, block: Block, levels: list[str]) -> Iterator[Block]:
    """Yield the titles of a block and the paragraphs between them. `levels`: the marks that came so far."""
    start = block.start
    for title in _RST_TITLE.finditer(text, block.start, block.end):
        if len(title["marks"]) < min(len(title["title"].strip()), _SHORTEST_UNDERLINE):
            continue
        mark = f"{title['over'] or ''}{title['under']}"
        levels += [mark] if mark not in levels else []
        yield from _paragraph(text, start, title.start())
        yield Block("heading", title.start(), title.end(), min(levels.index(mark) + 1, 6))
        start = title.end()
    yield from _paragraph(text, start, block.end)


def _paragraph(text: str, start: int, end: int) -> Iterator[Block]:
    piece = text[start:end].strip()
    if piece:
        begin = text.index(piece, start)
        yield Block("paragraph", begin, begin + len(piece))


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

    fences: list[_Fenced] = [(*match.span(), "code", 0) for match in _TEX_CODE.finditer(text)]
    for match in _TEX_TABLE.finditer(text):
        if not any(start <= match.start() < end for start, end, _, _ in fences):
            header = _TEX_HEADER.match(text, match.start(), match.end())
            fences.append((*match.span(), "table", header.end() if header else 0))
    return tuple(_between(text, sorted(fences), _TEX_TITLE_LINE, classify))


def _fenced(text: str, fence: re.Pattern[str]) -> list[_Fenced]:
    """Return what lies between two equal fences."""
    found, open_ = list[_Fenced](), None
    for match in fence.finditer(text):
        if open_ is None:
            open_ = match
        elif match[1] == open_[1]:
            header = _ADOC_HEADER.match(text, open_.start()) if match[1].startswith("|") else None
            kind: BlockKind = "table" if match[1].startswith("|") else "code"
            found.append((open_.start(), match.end(), kind, header.end() if header else 0))
            open_ = None
    return found


def _between(text: str, fences: list[_Fenced], titles: re.Pattern[str], classify: _Classify) -> Iterator[Block]:
    """Yield the fenced blocks, and between them titles and paragraphs."""
    edges: list[_Fenced] = [(0, 0, "paragraph", 0), *fences, (len(text), len(text), "paragraph", 0)]
    for (_, start, *_), (end, behind, kind, header_end) in pairwise(edges):
        cuts = [start, *(place for match in titles.finditer(text, start, end) for place in match.span()), end]
        for first, last in pairwise(cuts):
            for block in plain_blocks(text[first:last]):
                content = text[first + block.start : first + block.end]
                found, level = classify(content) or ("paragraph", 0)
                yield Block(found, first + block.start, first + block.end, level)
        if behind > end:
            yield Block(kind, end, behind, header_end=header_end)
