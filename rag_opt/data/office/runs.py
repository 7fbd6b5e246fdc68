"""The text of a Word paragraph: what is shown of its runs, fields, formulas and tracked changes."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from rag_opt.data.office.numbering import W
from rag_opt.data.office.symbols import symbol, with_symbols

if TYPE_CHECKING:
    from lxml.etree import _Element

_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_WP = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
_POWER = re.compile(r"^[+−–-]?\d+$")
_SIGNS = {"tab": " ", "ptab": " ", "noBreakHyphen": "-", "br": "\n", "cr": "\n"}
_PAGE_FIELD = re.compile(r"^\s*(?:PAGE|NUMPAGES|SECTIONPAGES)\b", re.IGNORECASE)


class Runs:
    """Everything of one paragraph.

    `text`; `boxes`: contents of the text boxes that hang on it; `notes`: (footnote or endnote, id) in their order;
    `pages_before` and `pages_inside`: how many pages begin before its text, and in it; `left_out`: what is not in the
    text, in words, with its count.
    """

    def __init__(self, paragraph: _Element) -> None:
        self._parts: list[str] = []
        self.boxes: list[_Element] = []
        self.notes: list[tuple[str, str]] = []
        self.pages_before = self.pages_inside = 0
        self.left_out = Counter[str]()
        self._fields: list[list[str]] = []  # the instructions of the open fields, and whether their result has begun
        for child in paragraph:
            self._element(child)
        lines = (" ".join(line.split()) for line in "".join(self._parts).split("\n"))
        self.text = "\n".join(lines).strip()

    def _element(self, element: _Element) -> None:
        tag = str(element.tag)
        if tag == f"{W}r":
            self._run(element)
        elif tag in (f"{W}del", f"{W}moveFrom"):
            self.left_out["deleted text (tracked changes) was left out"] += 1
        elif tag == f"{W}fldSimple" and _PAGE_FIELD.match(element.get(f"{W}instr") or ""):
            pass
        elif tag.startswith(_M):
            self._parts.append("".join(one.text or "" for one in element.iter(f"{_M}t")))
        elif tag != f"{W}pPr":
            for child in element:
                self._element(child)

    def _run(self, run: _Element) -> None:
        properties = run.find(f"{W}rPr")
        if properties is not None and _is_on(properties.find(f"{W}vanish")):
            self.left_out["hidden text was left out"] += 1
            return
        raised = properties.find(f"{W}vertAlign") if properties is not None else None
        fonts = properties.find(f"{W}rFonts") if properties is not None else None
        font = (fonts.get(f"{W}ascii") or fonts.get(f"{W}hAnsi") or "") if fonts is not None else ""
        before = len(self._parts)
        for child in run:
            self._in_run(child, font)
        if raised is not None and raised.get(f"{W}val") == "superscript":
            text = "".join(self._parts[before:])
            if _POWER.match(text) and "".join(self._parts[:before])[-1:].isalnum():
                self._parts[before:] = [f"^{text}"]

    def _in_run(self, element: _Element, font: str) -> None:
        tag = str(element.tag).removeprefix(W)
        if tag == "fldChar":
            self._field(str(element.get(f"{W}fldCharType")))
        elif tag == "instrText":
            if self._fields:
                self._fields[-1][0] += element.text or ""
        elif any(begun and _PAGE_FIELD.match(instruction) for instruction, begun in self._fields):
            pass  # the number of a page
        elif tag == "t":
            self._parts.append(with_symbols(element.text or "", font))
        elif tag in _SIGNS:
            self._parts.append(_SIGNS[tag])
        elif tag == "sym":
            self._symbol(element.get(f"{W}char") or "", element.get(f"{W}font") or font)
        elif tag == "ruby":
            self._ruby(element)
        elif tag == "lastRenderedPageBreak":
            self._turn_page()
        elif tag in ("footnoteReference", "endnoteReference"):
            name = str(element.get(f"{W}id"))
            self.notes.append((tag.removesuffix("Reference"), name))
            self._parts.append(f"[{name}]")
        elif tag in ("drawing", "pict", "object") or tag.startswith(_MC):
            self._drawing(element)

    def _symbol(self, code: str, font: str) -> None:
        character = symbol(code, font)
        self._parts.append(character)
        if not character:
            self.left_out[f"symbols of the font {font} were left out: no character is known for them"] += 1

    def _ruby(self, element: _Element) -> None:
        """Write letters with how they are spoken behind them: 漢字(かんじ)."""
        base, spoken = element.find(f"{W}rubyBase"), element.find(f"{W}rt")
        for run in base if base is not None else ():
            self._element(run)
        said = Runs(spoken).text if spoken is not None else ""
        self._parts.append(f"({said})" if said else "")

    def _field(self, kind: str) -> None:
        if kind == "begin":
            self._fields.append(["", ""])
        elif kind == "separate" and self._fields:
            self._fields[-1][1] = "begun"
        elif kind == "end" and self._fields:
            self._fields.pop()

    def _turn_page(self) -> None:
        if "".join(self._parts).strip():
            self.pages_inside += 1
        else:
            self.pages_before += 1

    def _drawing(self, element: _Element) -> None:
        """Keep the text boxes of a drawing, and what is said of its picture."""
        if element.tag == f"{_MC}AlternateContent":
            choice = element.find(f"{_MC}Choice")
            fallback = element.find(f"{_MC}Fallback")
            element = choice if choice is not None else fallback if fallback is not None else element
        if element.tag == f"{W}object":
            self.left_out["embedded objects were left out"] += 1
        boxes = [*element.iter(f"{W}txbxContent")]
        self.boxes += [box for box in boxes if not any(box in other.iter() for other in boxes if other is not box)]
        for properties in element.iter(f"{_WP}docPr"):
            description = " ".join((properties.get("descr") or "").split())
            if description:
                self._parts.append(f" [{description}] ")


def _is_on(element: _Element | None) -> bool:
    return element is not None and element.get(f"{W}val") not in ("0", "false", "off")
