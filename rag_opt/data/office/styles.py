"""What the styles of a Word document make of a paragraph: a heading, an item of a list, a caption, a quotation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag_opt.core.documents import BlockKind
from rag_opt.data.office.numbering import W

if TYPE_CHECKING:
    from lxml.etree import _Element

_BODY_LEVEL = 9  # the outline level of text that is no heading
_DEEPEST = 20  # styles that are based on one another


@dataclass(frozen=True, slots=True)
class ParagraphStyle:
    """`heading`: its level from 1; 0: none. `number`: id of the numbering that counts it; empty: none."""

    heading: int = 0
    number: str = ""
    number_level: int = 0
    kind: BlockKind = "paragraph"


class Styles:
    """The styles of one document by their ids."""

    def __init__(self, root: _Element | None) -> None:
        found = [] if root is None else [*root.iter(f"{W}style")]
        self._styles = {str(style.get(f"{W}styleId")): style for style in found}
        self._known: dict[str, ParagraphStyle] = {}

    def of(self, paragraph: _Element) -> ParagraphStyle:
        """Return what a paragraph is; what it says itself counts before its style."""
        properties = paragraph.find(f"{W}pPr")
        name = properties.find(f"{W}pStyle") if properties is not None else None
        style = self._named(str(name.get(f"{W}val"))) if name is not None else ParagraphStyle()
        return style if properties is None else _with_own(style, properties)

    def _named(self, name: str, depth: int = 0) -> ParagraphStyle:
        if name not in self._known:
            style = self._styles.get(name)
            if style is None or depth > _DEEPEST:
                return ParagraphStyle()
            base = style.find(f"{W}basedOn")
            inherited = self._named(str(base.get(f"{W}val")), depth + 1) if base is not None else ParagraphStyle()
            own = style.find(f"{W}pPr")
            named = _by_name(inherited, style)
            self._known[name] = named if own is None else _with_own(named, own)
        return self._known[name]


def _by_name(inherited: ParagraphStyle, style: _Element) -> ParagraphStyle:
    """Return what the usual English name of a built-in style says; it is the same in every language."""
    element = style.find(f"{W}name")
    name = str(element.get(f"{W}val")).casefold() if element is not None else ""
    level = re.fullmatch(r"heading (\d)", name)
    heading = int(level[1]) if level else 1 if name == "title" else inherited.heading
    kinds: dict[str, BlockKind] = {"caption": "caption", "quote": "quotation", "intense quote": "quotation"}
    return ParagraphStyle(heading, inherited.number, inherited.number_level, kinds.get(name, inherited.kind))


def _with_own(style: ParagraphStyle, properties: _Element) -> ParagraphStyle:
    outline, numbered = properties.find(f"{W}outlineLvl"), properties.find(f"{W}numPr")
    heading, number, level = style.heading, style.number, style.number_level
    if outline is not None:
        depth = int(outline.get(f"{W}val") or _BODY_LEVEL)
        heading = depth + 1 if depth < _BODY_LEVEL else 0
    if numbered is not None:
        id_, own_level = numbered.find(f"{W}numId"), numbered.find(f"{W}ilvl")
        if id_ is not None:
            number = str(id_.get(f"{W}val"))
            number = "" if number == "0" else number  # taken out of its list
        if own_level is not None:
            level = int(own_level.get(f"{W}val") or 0)
    return ParagraphStyle(heading, number, level, style.kind)
