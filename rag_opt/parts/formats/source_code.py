"""Source code and settings, as they are written."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Block
from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.decoding import decode, read_bytes
from rag_opt.data.formats import TextFormat
from rag_opt.text.trimming import trim


@register("format", "source_code")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class SourceCode(TextFormat):
    """Read programs and files of settings as they are written."""

    suffixes: ClassVar[tuple[str, ...]] = (
        ".py",
        ".js",
        ".jsx",
        ".mjs",
        ".ts",
        ".tsx",
        ".java",
        ".go",
        ".rs",
        ".c",
        ".h",
        ".cc",
        ".cpp",
        ".hpp",
        ".cs",
        ".rb",
        ".php",
        ".sh",
        ".bash",
        ".sql",
        ".r",
        ".kt",
        ".swift",
        ".scala",
        ".lua",
        ".pl",
        ".yaml",
        ".yml",
        ".toml",
        ".ini",
        ".cfg",
    )

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text as one block of code. Raises Unreadable where it is none."""
        text, notes = decode(read_bytes(path), encoding=encoding)
        place = trim(text, 0, len(text))
        return Reading(text, (Block("code", *place),) if place is not None else (), notes=tuple(notes))
