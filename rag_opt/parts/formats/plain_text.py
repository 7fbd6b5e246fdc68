"""Plain text, as it is."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.decoding import decode, read_bytes
from rag_opt.data.formats import TextFormat
from rag_opt.text.plain_blocks import plain_blocks


@register("format", "plain_text")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class PlainText(TextFormat):
    """Read text as it is, line ends kept; what stands between empty lines is a paragraph."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".text")

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text. Raises Unreadable where it is none."""
        text, notes = decode(read_bytes(path), encoding=encoding)
        return Reading(text, plain_blocks(text), notes=tuple(notes))
