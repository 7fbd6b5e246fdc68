"""Places on a page: boxes, and the runs of text in them.

Coordinates are points. Text that was drawn sideways is turned upright: in every frame x grows along the line and y
from the last line up to the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

OBLIQUE = -1  # the frame of what was drawn at no right angle


class Box(NamedTuple):
    """A rectangle on a page."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def width(self) -> float:
        """Width in points."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height in points."""
        return self.top - self.bottom

    def holds(self, x: float, y: float, *, margin: float = 0.0) -> bool:
        """Return whether a point lies in it."""
        return self.left - margin <= x <= self.right + margin and self.bottom - margin <= y <= self.top + margin

    def turned(self, frame: int) -> Box:
        """Return a box of the page in the frame in which its text runs from left to right."""
        left, bottom, right, top = self
        if frame == 1:
            return Box(-top, left, -bottom, right)
        if frame == 2:
            return Box(-right, -top, -left, -bottom)
        if frame == 3:
            return Box(bottom, -right, top, -left)
        return self

    @property
    def mirrored(self) -> Box:
        """The box as in a mirror."""
        return Box(-self.right, self.bottom, -self.left, self.top)


@dataclass(slots=True)
class Run:
    """Text on one line without a wide gap.

    `edges`: left and right end of each of its characters. `fixed`: all of it is of a font whose characters are equally
    wide, as listings are.
    """

    text: str
    box: Box
    size: float
    bold: bool = False
    faint: bool = False
    edges: list[tuple[float, float]] = field(default_factory=list)
    fixed: bool = False


def around(boxes: Iterable[Box]) -> Box:
    """Return the smallest box around some."""
    every = list(boxes)
    return Box(
        min(box.left for box in every), min(box.bottom for box in every),
        max(box.right for box in every), max(box.top for box in every),
    )  # fmt: skip


def mirror(runs: list[Run]) -> list[Run]:
    """Return runs as in a mirror, so that a page which is written from right to left is laid out as others are."""
    return [
        replace(
            run,
            box=run.box.mirrored,
            edges=[(-right, -left) for left, right in run.edges],
            fixed=False,  # no listing is written from right to left
        )
        for run in runs
    ]
