"""What a reader makes of a file: its text with blocks and pages, and notes of what is not in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from rag_opt.core.documents import Block

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class ReadingNote:
    """Something of a file that is not in its text, or that was guessed.

    `what` reads the same for every file, so that notes of many files become one line. `pages`: where, counted from 1.
    `count`: how many times; 0 where counting says nothing. `example`: some of it.
    """

    what: str
    pages: tuple[int, ...] = ()
    count: int = 0
    example: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A file as text. `blocks` and `pages` as in `Document`; `page_count`: pages of the file, 0 where it has none."""

    text: str
    blocks: tuple[Block, ...] | None = None
    pages: tuple[tuple[int, int], ...] = ()
    title: str = ""
    notes: tuple[ReadingNote, ...] = ()
    page_count: int = 0

    def to_bytes(self) -> bytes:
        """Return the reading as it is stored."""
        blocks = None if self.blocks is None else [block.to_list() for block in self.blocks]
        notes = [[note.what, note.pages, note.count, note.example] for note in self.notes]
        return orjson.dumps([self.text, blocks, self.pages, self.title, notes, self.page_count])

    @staticmethod
    def from_bytes(stored: bytes) -> Reading:
        """Return what `to_bytes` wrote."""
        text, blocks, pages, title, notes, page_count = orjson.loads(stored)
        return Reading(
            text,
            None if blocks is None else tuple(map(Block.from_list, blocks)),
            tuple((offset, page) for offset, page in pages),
            title,
            tuple(ReadingNote(what, tuple(pages), count, example) for what, pages, count, example in notes),
            page_count,
        )


def describe_pages(pages: Iterable[int]) -> str:
    """Return page numbers as people write them: `2-6, 9`."""
    runs: list[list[int]] = []
    for page in sorted(set(pages)):
        if runs and page == runs[-1][1] + 1:
            runs[-1][1] = page
        else:
            runs.append([page, page])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
