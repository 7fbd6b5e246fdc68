"""The text of a Word paragraph: what is shown of its runs, fields, formulas and tracked changes."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from rag_opt.data.office.numbering import W

if TYPE_CHECKING:
    from lxml.etree import _Element

_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_WP = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
_POWER = re.compile(r"^[+−–-]?\d+$")
_PAGE_FIELD = re.compile(r"^\s*(?:PAGE|NUMPAGES|SECTIONPAGES)\b", re.IGNORECASE)
_SYMBOLS = {"F0B7": "•", "F0A7": "▪", "F0FC": "✓", "F0FB": "✗", "F0E0": "→", "F0DF": "←", "F0E8": "➔"}


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
        before = len(self._parts)
        for child in run:
            self._in_run(child)
        if raised is not None and raised.get(f"{W}val") == "superscript":
            text = "".join(self._parts[before:])
            if _POWER.match(text) and "".join(self._parts[:before])[-1:].isalnum():
                self._parts[before:] = [f"^{text}"]

    def _in_run(self, element: _Element) -> None:
        tag = str(element.tag).removeprefix(W)
        if tag == "fldChar":
            self._field(str(element.get(f"{W}fldCharType")))
        elif tag == "instrText":
            if self._fields:
                self._fields[-1][0] += element.text or ""
        elif any(begun and _PAGE_FIELD.match(instruction) for instruction, begun in self._fields):
            pass  # the number of a page
        elif tag == "t":
            self._parts.append(element.text or "")
        elif tag in ("tab", "ptab"):
            self._parts.append(" ")
        elif tag == "noBreakHyphen":
            self._parts.append("-")
        elif tag == "sym":
            self._parts.append(_SYMBOLS.get((element.get(f"{W}char") or "").upper(), ""))
        elif tag in ("br", "cr"):
            self._parts.append("\n")
        elif tag == "lastRenderedPageBreak":
            self._turn_page()
        elif tag in ("footnoteReference", "endnoteReference"):
            name = str(element.get(f"{W}id"))
            self.notes.append((tag.removesuffix("Reference"), name))
            self._parts.append(f"[{name}]")
        elif tag in ("drawing", "pict", "object") or tag.startswith(_MC):
            self._drawing(element)

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
        boxes = [*element.iter(f"{W}txbxContent")]
        self.boxes += [box for box in boxes if not any(box in other.iter() for other in boxes if other is not box)]
        for properties in element.iter(f"{_WP}docPr"):
            description = " ".join((properties.get("descr") or "").split())
            if description:
                self._parts.append(f" [{description}] ")


def _is_on(element: _Element | None) -> bool:
    return element is not None and element.get(f"{W}val") not in ("0", "false", "off")
