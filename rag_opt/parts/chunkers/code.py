"""Chunks of source code, by its syntax."""

from __future__ import annotations

import functools
import importlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.arrays import IntArray
from rag_opt.core.documents import Chunk, Document
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.parts.defaults import ChunkerDefaults
from rag_opt.text.cutting import Piece, cut, pack_pieces, split_at, to_chunks
from rag_opt.text.tokens import Tokenizer, TokenMap

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

# ending of a document's id -> package of the grammar, and what in it gives the language
GRAMMARS = {
    ".py": ("tree_sitter_python", "language"),
    ".js": ("tree_sitter_javascript", "language"),
    ".jsx": ("tree_sitter_javascript", "language"),
    ".mjs": ("tree_sitter_javascript", "language"),
    ".ts": ("tree_sitter_typescript", "language_typescript"),
    ".tsx": ("tree_sitter_typescript", "language_tsx"),
    ".java": ("tree_sitter_java", "language"),
    ".go": ("tree_sitter_go", "language"),
    ".rs": ("tree_sitter_rust", "language"),
    ".c": ("tree_sitter_c", "language"),
    ".h": ("tree_sitter_cpp", "language"),
    ".cc": ("tree_sitter_cpp", "language"),
    ".cpp": ("tree_sitter_cpp", "language"),
    ".hpp": ("tree_sitter_cpp", "language"),
    ".cs": ("tree_sitter_c_sharp", "language"),
    ".rb": ("tree_sitter_ruby", "language"),
    ".php": ("tree_sitter_php", "language_php"),
    ".sh": ("tree_sitter_bash", "language"),
    ".bash": ("tree_sitter_bash", "language"),
}


_EXTRA = "the extra `code` of rag_opt's wheel or checkout has it: pip install '.[code]'"
_DEEPEST = 60  # levels of syntax that are followed: a long expression has as many as it has operators


@register("chunker", "code")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Code(ChunkerDefaults):
    """Cut source code where its syntax allows: whole declarations joined up to `size` tokens, a larger one cut inside.

    The scheme of cAST (Zhang et al., 2025), by tree-sitter; the ending of the document's id names the language. A
    document without a grammar here is cut as `recursive` does.
    """

    size: Annotated[int, Ge(8), Le(32768), Doc("Largest chunk, in tokens of the embedder.")] = 224

    libraries: ClassVar[tuple[str, ...]] = ("tree-sitter",)

    def split(self, document: Document, *, tokenizer: Tokenizer) -> list[Chunk]:
        """Return the chunks. Raises BadInput where the grammar's package is not installed."""
        text = document.text
        tokens, whole = TokenMap(tokenizer.starts(text)), (0, len(text))
        grammar = GRAMMARS.get(PurePosixPath(document.id).suffix.lower())
        if grammar is None:
            return to_chunks(text, cut(text, whole, tokens, size=self.size))
        source = text.encode("utf-8", "replace")
        offsets = _characters(text, len(source))
        root = _parser(*grammar).parse(source).root_node
        return to_chunks(text, self._cut(text, whole, root, offsets, tokens, 0))

    def _cut(self, text: str, piece: Piece, node: Node, offsets: IntArray, tokens: TokenMap, depth: int) -> list[Piece]:
        """Return what a node covers, its gaps included, in pieces of at most `size` tokens."""
        if tokens.count(*piece) <= self.size:
            return [piece]
        if depth == _DEEPEST:
            return cut(text, piece, tokens, size=self.size)
        children = {int(offsets[child.start_byte]): child for child in reversed(node.children)}
        parts = split_at(children, piece)
        if len(parts) == 1:
            only = children.get(piece[0])
            inner = only if only is not None and only.child_count else None
            if inner is None:
                return cut(text, piece, tokens, size=self.size)
            return self._cut(text, piece, inner, offsets, tokens, depth + 1)

        def finer(part: Piece) -> list[Piece]:
            child = children.get(part[0])
            if child is None:  # what stands before the first child
                return cut(text, part, tokens, size=self.size)
            return self._cut(text, part, child, offsets, tokens, depth + 1)

        return pack_pieces(parts, tokens, size=self.size, finer=finer)


def _characters(text: str, count: int) -> IntArray:
    """Return [bytes + 1]: the character that each byte of the text's UTF-8 belongs to."""
    if count == len(text):
        return np.arange(count + 1)
    widths = np.array([len(character.encode("utf-8", "replace")) for character in text], np.int64)
    return np.append(np.repeat(np.arange(len(text)), widths), len(text))


@functools.cache
def _parser(package: str, name: str) -> Parser:
    try:
        from tree_sitter import Language, Parser

        grammar = importlib.import_module(package)
    except ImportError:
        what = f"{package.replace('_', '-')} is not installed; {_EXTRA}"
        raise BadInput([Problem("chunker.code", what)]) from None
    return Parser(Language(getattr(grammar, name)()))
