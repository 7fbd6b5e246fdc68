"""Documents of LangChain, LlamaIndex and Haystack, known by their attributes: no framework is imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import orjson

from rag_opt.core.documents import Document
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.filters import is_scalar
from rag_opt.core.strict import PlainDict

_TEXTS = ("page_content", "text", "content")  # of LangChain, LlamaIndex and rag_opt, Haystack
_METADATA = ("metadata", "meta")
_NAMES = ("id", "id_", "doc_id")
_SOURCES = ("source", "file_path", "file_name")  # metadata that say where a document came from


def to_lines(documents: Iterable[object]) -> list[PlainDict]:
    """Return documents as lines of a file of documents. Raises BadInput for what is none, with its place.

    Of metadata that is kept which filters can compare (texts, numbers, true, false). A document without a name of its
    own is named by where it came from, else by its number; several of one name (pages of a file) by name and number.
    """
    lines, problems = list[PlainDict](), list[Problem]()
    for number, document in enumerate(documents):
        text = document if isinstance(document, str) else _first(document, _TEXTS)
        if not isinstance(text, str):
            what = f"is {type(document).__name__}, without a text: a Document of LangChain, LlamaIndex or Haystack"
            problems.append(Problem(f"documents[{number}]", what))
            continue
        metadata = _first(document, _METADATA)
        kept = {str(name): value for name, value in metadata.items()} if isinstance(metadata, Mapping) else {}
        title = document.title if isinstance(document, Document) else ""
        line = {"id": _name(document, kept, number), "text": text, "title": title, "metadata": _comparable(kept)}
        try:
            orjson.dumps(line)
        except TypeError as error:  # half a character, as of a broken encoding
            problems.append(Problem(f"documents[{number}]", f"cannot be written as JSON: {error}"))
            continue
        lines.append(line)
    if problems:
        raise BadInput(problems)
    return _with_own_names(lines)


def _first(document: object, names: Iterable[str]) -> object:
    return next((found for name in names if (found := getattr(document, name, None)) is not None), None)


def _name(document: object, metadata: Mapping[str, object], number: int) -> str:
    if isinstance(document, Document):
        return document.id
    source = next((metadata[name] for name in _SOURCES if isinstance(metadata.get(name), str)), None)
    given = _first(document, _NAMES)
    return str(source or given or f"document-{number}")


def _comparable(metadata: Mapping[str, object]) -> PlainDict:
    """Return what filters can compare; numbers of NumPy as Python's, numbers that JSON has no room for left out."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in metadata.items()}
    return {name: value for name, value in plain.items() if is_scalar(value) and _fits_in_json(value)}


def _fits_in_json(value: object) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**64


def _with_own_names(lines: list[PlainDict]) -> list[PlainDict]:
    """Return lines whose names differ: of several with one name each gets a number."""
    times, taken = Counter(line["id"] for line in lines), {line["id"] for line in lines}
    counted: Counter[str] = Counter()
    for line in lines:
        name = line["id"]
        if times[name] == 1:
            continue
        counted[name] += 1
        while (numbered := f"{name}#{counted[name]}") in taken:
            counted[name] += 1
        line["id"] = numbered
        taken.add(numbered)
    return lines


def to_json_lines(documents: Iterable[object]) -> bytes:
    """Return documents as the content of a `.jsonl` file of documents. Raises BadInput for what is none."""
    return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in to_lines(documents))
