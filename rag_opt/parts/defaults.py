"""The answers that most parts of a slot give, to be inherited."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_doc import Doc


class ChunkerDefaults:
    """The answers that most chunkers give."""

    libraries: ClassVar[tuple[str, ...]] = ()

    @property
    def expected_overlap(self) -> float:
        """Share of a chunk that about the next one repeats: none."""
        return 0.0

    @property
    def repeats_headers(self) -> bool:
        """Whether a piece of a cut table has its header before it: no."""
        return False


TableSetting = Annotated[
    Literal["plain", "header"], Doc("`header` puts a table's header before further pieces of it, within `size`.")
]


class TableDefaults(ChunkerDefaults):
    """The answers of a chunker with a setting `tables`: it finds tables in texts that no reader looked at."""

    libraries: ClassVar[tuple[str, ...]] = ("markdown-it-py",)
    tables: TableSetting

    @property
    def repeats_headers(self) -> bool:
        """Whether a piece of a cut table has its header before it, where it is embedded and where it is read."""
        return self.tables == "header"


class OverlapDefaults(ChunkerDefaults):
    """The answers of a chunker with a setting `overlap`."""

    overlap: float

    @property
    def expected_overlap(self) -> float:
        """Share of a chunk that the next one repeats."""
        return self.overlap


class IndexDefaults:
    """What most indexes do."""

    def write_for_serving(self, stored: Path, folder: Path) -> None:
        """Write what an exported pipeline opens into a new folder: the same files as in `stored`."""
        shutil.copytree(stored, folder)
