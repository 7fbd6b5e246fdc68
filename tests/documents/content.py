"""Sentences and tables that documents are filled with; each sentence is different, and means something."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

_WHO = ("harbour master", "ferry", "lighthouse", "quarry railway", "fish market", "weather station", "mill", "orchard")
_DOES = ("opens", "closes", "moves", "repairs", "measures", "delivers", "inspects", "paints")
_WHAT = ("the eastern gate", "three spare anchors", "its copper boilers", "every second lantern", "a dozen crates",
         "the northern pier", "its oldest bridge", "two hundred barrels")  # fmt: skip
_WHEN = ("before dawn", "in early spring", "after heavy rain", "on market days", "at low tide", "during the regatta")
_PLACES = ("Skerra", "Vellin", "Ardnish", "Ostra", "Moorhaven", "Lindholm", "Tarnsby", "Corvale")


@dataclass(frozen=True)
class Cell:
    """A cell of a table: in the row that begins with `row`, below `column`."""

    row: str
    column: str
    value: str


@dataclass(frozen=True)
class Labelled:
    """A document with what a perfect reader gives: its words in the order of reading, and its cells.

    `is_scan`: some of it can only be recognised in a picture.
    """

    name: str
    words: str
    cells: tuple[Cell, ...] = ()
    is_scan: bool = False
    notes: tuple[str, ...] = field(default=())


def sentences(seed: int, count: int) -> list[str]:
    """Return so many different sentences."""
    draw, found = random.Random(seed), dict[str, None]()
    while len(found) < count:
        who, does, what = draw.choice(_WHO), draw.choice(_DOES), draw.choice(_WHAT)
        found[
            f"The {who} of {draw.choice(_PLACES)} {does} {what} {draw.choice(_WHEN)}, {draw.randint(2, 999)} times."
        ] = None
    return list(found)


def paragraphs(seed: int, count: int, *, length: int = 4) -> list[str]:
    """Return paragraphs of some sentences each."""
    every = sentences(seed, count * length)
    return [" ".join(every[length * number : length * (number + 1)]) for number in range(count)]


def table(seed: int, rows: int) -> list[list[str]]:
    """Return a table of numbers with a header."""
    draw = random.Random(seed)
    header = ["Vessel", "Length (m)", "Draught (m)", "Crew"]

    def number(low: int, high: int) -> str:
        return f"{draw.randint(low, high)}.{draw.randint(0, 9)}"

    body = [[f"Boat {seed}-{n}", number(8, 99), number(1, 9), str(draw.randint(2, 40))] for n in range(1, rows + 1)]
    return [header, *body]


def cells_of(rows: list[list[str]]) -> tuple[Cell, ...]:
    """Return every cell of a table below its header."""
    header = rows[0]
    return tuple(Cell(row[0], header[column], row[column]) for row in rows[1:] for column in range(1, len(header)))


def words_of(rows: list[list[str]]) -> str:
    """Return the words of a table, row by row."""
    return " ".join(" ".join(row) for row in rows)
