"""Formats of documents: the slot `format`, with one part for each kind of files.

The parts are in `rag_opt.parts.formats` and in plug-ins; they register when they are imported (`load_parts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol, cast

from rag_opt.core.readings import Reading
from rag_opt.core.registry import declare_slot, kinds


class Format(Protocol):
    """A format of files, as readings.

    `suffixes`: the endings of its files, with the dot and in small letters. `libraries`: those whose versions determine
    what is read. `isolated`: whether files of it may harm whoever reads them, so that a process of its own does, with
    a limit of time and memory.
    """

    slot: ClassVar[str]
    kind: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    libraries: ClassVar[tuple[str, ...]]
    isolated: ClassVar[bool]

    def __hash__(self) -> int:
        """Return a hash: formats and readers are frozen."""
        ...

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return what is read of a file; a reading without text where it holds none. `encoding`: of its text, if given.

        Raises Unreadable where it is not what its ending says.
        """
        ...


class TextFormat:
    """The answers of a format that is text: nothing in it can harm."""

    libraries: ClassVar[tuple[str, ...]] = ()
    isolated: ClassVar[bool] = False


class PackedFormat:
    """The answers of a format that a library unpacks."""

    libraries: ClassVar[tuple[str, ...]] = ("lxml", "charset-normalizer")
    isolated: ClassVar[bool] = True


declare_slot("format", "how a kind of files becomes text", Format)


def formats_by_suffix() -> dict[str, Format]:
    """Return the format of every known ending. Raises RuntimeError where no part was loaded (`load_parts`)."""
    registered = cast(Mapping[str, type[Format]], kinds("format"))
    if not registered:
        raise RuntimeError("no format is registered; call rag_opt.core.registry.load_parts() before data is read")
    return {suffix: format_() for format_ in registered.values() for suffix in format_.suffixes}
