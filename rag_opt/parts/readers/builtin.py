"""The reader that this program brings: every format by its own part."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.formats import formats_by_suffix


@register("reader", "builtin")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Builtin:
    """Read every file as the part for its format does (`python -m rag_opt.parts` lists them)."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    libraries: ClassVar[tuple[str, ...]] = ()
    isolated: ClassVar[bool] = True

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return what the format of a file makes of it. Raises Unreadable."""
        return formats_by_suffix()[path.suffix.lower()].read(path, encoding=encoding)
