"""JSON, JSON lines and XML: the texts and values in them, each with its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.decoding import decode, read_bytes
from rag_opt.data.formats import PackedFormat
from rag_opt.text.markup import DEEPEST, parse_xml
from rag_opt.text.reading_writer import ReadingWriter

if TYPE_CHECKING:
    from lxml.etree import _Element

_TOO_DEEP = f"values that lie in more than {DEEPEST} others were left out"
_LONG = 80  # characters: a longer text is a paragraph of its own


@register("format", "data_text")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataText(PackedFormat):
    """Read the values of JSON, JSON lines and XML, a line `name: value` for each and a paragraph for each record."""

    suffixes: ClassVar[tuple[str, ...]] = (".json", ".jsonl", ".ndjson", ".xml")

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the values. Raises Unreadable where the file is broken."""
        content = read_bytes(path)
        writer = ReadingWriter()
        if path.suffix.lower() == ".xml":
            _write_xml(writer, content, encoding)
            return writer.finish()
        text, notes = decode(content, encoding=encoding)
        for record in _records(text, lines=path.suffix.lower() != ".json"):
            _write_record(writer, record)
        writer.take_notes(notes)
        return writer.finish()


def _records(text: str, *, lines: bool) -> Iterator[object]:
    if not lines:
        value = _load(text, "")
        yield from value if isinstance(value, list) else [value]
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _load(line, f" in line {number}")


def _load(text: str, where: str) -> object:
    try:
        return json.loads(text)  # reads NaN too, as Python writes it
    except ValueError as error:
        raise Unreadable(f"is not JSON{where}: {error}") from None


def _write_record(writer: ReadingWriter, record: object) -> None:
    short = list[str]()
    for name, value in _leaves(record, "", writer):
        line = f"{name}: {value}" if name else value
        if len(value) < _LONG:
            short.append(line)
            continue
        writer.block("paragraph", "\n".join(short))
        writer.block("paragraph", line)
        short = []
    writer.block("paragraph", "\n".join(short))


def _leaves(value: object, name: str, writer: ReadingWriter, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield every text and number with the path to it."""
    if depth > DEEPEST:
        writer.note(_TOO_DEEP)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key), writer, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name, writer, depth + 1)
    elif value is not None and str(value).strip():
        yield name, str(value)


def _write_xml(writer: ReadingWriter, content: bytes, encoding: str | None) -> None:
    try:
        root, faults = parse_xml(content, encoding=encoding)
    except ValueError as error:
        raise Unreadable(f"is no sound XML: {error}") from None
    for fault in faults:
        writer.note("faults of the XML were repaired, and text may be missing there", example=fault)
    stack: list[tuple[_Element, int]] = [(root, 0)]
    while stack:
        element, depth = stack.pop()
        if not isinstance(element.tag, str):
            continue
        if depth > DEEPEST:
            writer.note(_TOO_DEEP)
            continue
        if _is_paragraph(element):
            name = element.tag.rpartition("}")[2]
            text = " ".join("".join(map(str, element.itertext())).split())
            named = [f"{name}: {text}" if len(text) < _LONG else text, *_attributes(element)]
            writer.block("paragraph", "\n".join(named))
            for inside in element.iterdescendants():
                for line in _attributes(inside):
                    writer.note("attributes of words inside texts were left out", example=line)
            continue
        named = _attributes(element)
        writer.block("paragraph", "\n".join([element.tag.rpartition("}")[2], *named]) if named else "")
        stack += [(child, depth + 1) for child in reversed(element)]


def _attributes(element: _Element) -> list[str]:
    """Return a line for each attribute that belongs to the element and not to XML itself."""
    own = [(str(key), str(value)) for key, value in element.attrib.items()]
    return [f"{key}: {value}" for key, value in own if value.strip() and "}" not in key]


def _is_paragraph(element: _Element) -> bool:
    """Return whether an element holds text of its own, beside what may be marked in it."""
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)
