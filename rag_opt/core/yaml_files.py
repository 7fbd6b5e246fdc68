"""YAML that a person wrote: read strictly, and what is wrong with it said by file, line and column."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from rag_opt.core.errors import BadInput, Problem

if TYPE_CHECKING:
    from rag_opt.core.strict import PlainDict  # Pydantic is loaded after Ctrl-C is handled

_MOST_BYTES = 1_000_000
_MOST_ALIASES = 100  # ten anchors of ten aliases each are 10^10 values

_REMEDIES = {
    "cannot start any token": "indent with spaces, not with tabs, and quote text that begins with a special character",
    "unexpected end of stream": "close the bracket or the quote that is open",
    "stream end": "close the bracket or the quote that is open",
    "mapping values are not allowed": 'quote a text that holds ": "',
    "duplicate key": "keep one of the two",
    "constructor for the tag": "tags are not read: a config cannot run code",
    "could not find expected": 'write "key: value", with a space after the colon',
    "unacceptable character": "save the file as UTF-8 text, without control characters",
}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader that refuses a key given twice."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, object]:
    seen = set[object]()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "found a key that is no text", key.start_mark)
        if key.value in seen:
            raise yaml.constructor.ConstructorError(None, None, f"found duplicate key {key.value!r}", key.start_mark)
        seen.add(key.value)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> PlainDict:
    """Return the mapping in a file, an empty one for an empty file. Raises BadInput with file, line and column."""
    text = _read_text(path)
    try:
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_Loader))
        if aliases > _MOST_ALIASES:
            raise BadInput([Problem(str(path), f"has {aliases} aliases; at most {_MOST_ALIASES} are read")])
        content = yaml.load(text, Loader=_Loader)  # it is a safe loader
    except yaml.YAMLError as error:
        raise BadInput([explain_yaml_error(error, path)]) from None
    except RecursionError:
        raise BadInput([Problem(str(path), "is nested too deeply")]) from None
    except (ValueError, TypeError) as error:  # as a date that there is not
        raise BadInput([Problem(str(path), f"holds a value that cannot be read: {error}")]) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadInput([Problem(str(path), f"holds {type(content).__name__}, not a mapping of settings")])
    return {str(key): value for key, value in content.items()}


def explain_yaml_error(error: yaml.YAMLError, path: Path | None = None) -> Problem:
    """Return where a YAML file cannot be read, the line itself, and what to do."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = str(getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).splitlines()[0])
    remedy = next((remedy for words, remedy in _REMEDIES.items() if words in f"{what} {error}"), "")
    file = path or Path(mark.name if mark is not None else getattr(error, "name", ""))
    if mark is None:
        return Problem(str(file), f"{what}{f'; {remedy}' if remedy else ''}")
    try:
        line = file.read_text(encoding="utf-8", errors="replace").splitlines()[mark.line].strip()
    except (OSError, IndexError):
        line = ""
    shown = f"; the line is: {line[:120]}" if line else "; the file ends there"
    return Problem(f"{file}:{mark.line + 1}:{mark.column + 1}", f"{what}{shown}{f'; {remedy}' if remedy else ''}")


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput([Problem(str(path), f"cannot be read: {error.strerror}")]) from None
    if len(content) > _MOST_BYTES:
        raise BadInput([Problem(str(path), f"has {len(content):,} bytes; a config has at most {_MOST_BYTES:,}")])
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        what = f"is not UTF-8 text (byte {error.start}, 0x{content[error.start]:02x}); save it as UTF-8"
        raise BadInput([Problem(f"{path}:{line}", what)]) from None
