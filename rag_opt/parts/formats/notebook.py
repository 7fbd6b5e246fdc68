"""Jupyter notebooks: cells in their order, with what they printed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import orjson
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.decoding import decode, read_bytes
from rag_opt.data.formats import TextFormat
from rag_opt.text.markdown_blocks import markdown_blocks
from rag_opt.text.reading_writer import ReadingWriter


@register("format", "notebook")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Notebook(TextFormat):
    """Read the texts, the code and the printed results of a notebook; pictures are left out."""

    suffixes: ClassVar[tuple[str, ...]] = (".ipynb",)
    libraries: ClassVar[tuple[str, ...]] = ("markdown-it-py",)

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text. Raises Unreadable where the file is no notebook."""
        text, _ = decode(read_bytes(path), encoding=encoding)
        try:
            notebook = orjson.loads(text)
            sheets = [notebook, *notebook.get("worksheets", [])]  # the latter in format 3
            cells = [cell for sheet in sheets for cell in sheet.get("cells", [])]
        except (orjson.JSONDecodeError, AttributeError, TypeError) as error:
            raise Unreadable(f"is no notebook: {error}") from None
        language = str(_mapping(_mapping(notebook.get("metadata")).get("language_info")).get("name", ""))
        writer = ReadingWriter()
        for cell in cells:
            _write_cell(writer, _mapping(cell), language)
        return writer.finish()


def _write_cell(writer: ReadingWriter, cell: Mapping[str, object], language: str) -> None:
    source = _text(cell.get("source", cell.get("input")))
    if cell.get("cell_type") == "code":
        writer.code(source, language=language)
    else:
        writer.append(Reading(source, markdown_blocks(source)))
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        _write_output(writer, _mapping(output))


def _write_output(writer: ReadingWriter, output: Mapping[str, object]) -> None:
    data = _mapping(output.get("data"))
    if output.get("output_type") == "error":
        writer.code(f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}")
    elif "text" in output:
        writer.code(_text(output["text"]))
    elif "text/markdown" in data:
        content = _text(data["text/markdown"])
        writer.append(Reading(content, markdown_blocks(content)))
    elif "text/plain" in data and not any(kind.startswith("image/") for kind in data):
        writer.code(_text(data["text/plain"]))
    elif data:
        writer.note("pictures of notebooks were left out")


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
