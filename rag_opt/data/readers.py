"""Readers of documents: the slot `reader`, with one part for each format of files.

The parts are in `rag_opt.parts.readers` and in plug-ins; they register when they are imported (`load_parts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol, cast

from rag_opt.core.registry import declare_slot, kinds


class Reader(Protocol):
    """A format of files, as text. `suffixes`: the endings that its files have, with the dot and in small letters."""

    slot: ClassVar[str]
    kind: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]

    def read(self, path: Path) -> str:
        """Return the text of a file; empty where it holds none. Raises Unreadable."""
        ...


declare_slot("reader", "how a file becomes text", Reader)


def readers_by_suffix() -> dict[str, Reader]:
    """Return the reader of every known ending. Raises RuntimeError where no part was loaded (`load_parts`)."""
    registered = cast(Mapping[str, type[Reader]], kinds("reader"))
    if not registered:
        raise RuntimeError("no reader is registered; call rag_opt.core.registry.load_parts() before data is read")
    return {suffix: reader() for reader in registered.values() for suffix in reader.suffixes}
