"""Numbers of paragraphs as Word shows them: `numbering.xml` says how, the order of the paragraphs gives the counts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag_opt.text.numerals import numeral

if TYPE_CHECKING:
    from lxml.etree import _Element

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
BULLET = "-"
_STYLES = {
    "decimal": "1", "decimalZero": "01", "lowerLetter": "a", "upperLetter": "A", "lowerRoman": "i", "upperRoman": "I",
}  # fmt: skip
_PLACE = re.compile(r"%(\d)")


@dataclass(slots=True)
class _Level:
    start: int = 1
    style: str = "decimal"
    text: str = "%1."
    legal: bool = False


@dataclass(slots=True)
class _List:
    """A numbering of up to nine levels. `counts`: the last number of each level that is counting."""

    levels: dict[int, _Level]
    counts: dict[int, int] = field(default_factory=dict)


class Numbering:
    """Counts the paragraphs of a document."""

    def __init__(self, root: _Element | None) -> None:
        self._lists: dict[str, _List] = {}
        self._number_lists: dict[str, str] = {}
        self._restarts: dict[str, dict[int, int]] = {}
        self._overrides: dict[str, dict[int, _Level]] = {}  # levels that one numbering writes in its own way
        if root is not None:
            self._read(root)

    def _read(self, root: _Element) -> None:
        links = dict[str, str]()
        for abstract in root.iter(f"{W}abstractNum"):
            name = str(abstract.get(f"{W}abstractNumId"))
            levels = {_whole(level.get(f"{W}ilvl")): _read_level(level) for level in abstract.iter(f"{W}lvl")}
            self._lists[name] = _List(levels)
            link = abstract.find(f"{W}styleLink")
            if link is not None:
                links[str(link.get(f"{W}val"))] = name
        for abstract in root.iter(f"{W}abstractNum"):
            link = abstract.find(f"{W}numStyleLink")
            target = links.get(str(link.get(f"{W}val"))) if link is not None else None
            if target is not None:
                self._lists[str(abstract.get(f"{W}abstractNumId"))] = self._lists[target]
        for number in root.iter(f"{W}num"):
            name, abstract_id = str(number.get(f"{W}numId")), number.find(f"{W}abstractNumId")
            if abstract_id is not None:
                self._number_lists[name] = str(abstract_id.get(f"{W}val"))
            for override in number.iter(f"{W}lvlOverride"):
                start, own = override.find(f"{W}startOverride"), override.find(f"{W}lvl")
                level = _whole(override.get(f"{W}ilvl"))
                if own is not None:
                    self._overrides.setdefault(name, {})[level] = _read_level(own)
                if start is not None:
                    self._restarts.setdefault(name, {})[level] = _whole(start.get(f"{W}val"))

    def label(self, number: str, level: int) -> str:
        """Count one paragraph, and return what stands before it: `4.2`, `(a)`, `-`; empty where nothing does."""
        counted = self._lists.get(self._number_lists.get(number, ""))
        levels = {**(counted.levels if counted is not None else {}), **self._overrides.get(number, {})}
        if counted is None or level not in levels:
            return BULLET if number != "0" and counted is None and number in self._number_lists else ""
        restart = self._restarts.get(number, {}).pop(level, None)  # the first time alone
        if restart is not None:
            counted.counts[level] = restart
        else:
            counted.counts[level] = counted.counts.get(level, levels[level].start - 1) + 1
        for deeper in [one for one in counted.counts if one > level]:
            del counted.counts[deeper]
        return _write(levels, counted.counts, level)


def _write(levels: dict[int, _Level], counts: dict[int, int], level: int) -> str:
    own = levels[level]
    if own.style == "bullet":
        return BULLET
    if own.style == "none":
        return own.text if "%" not in own.text else ""

    def count(match: re.Match[str]) -> str:
        place = int(match[1]) - 1
        other = levels.get(place, _Level())
        number = counts.get(place, other.start)
        return numeral(number, "1" if own.legal else _STYLES.get(other.style, "1"))

    return _PLACE.sub(count, own.text).strip()


def _read_level(level: _Element) -> _Level:
    values = {name: level.find(f"{W}{name}") for name in ("start", "numFmt", "lvlText", "isLgl")}
    got = {name: one.get(f"{W}val") for name, one in values.items() if one is not None}
    return _Level(
        _whole(got.get("start"), 1), str(got.get("numFmt", "decimal")), str(got.get("lvlText") or ""), "isLgl" in got
    )


def _whole(written: str | None, otherwise: int = 0) -> int:
    return int(written) if written is not None and re.fullmatch(r"-?\d{1,9}", written) else otherwise
