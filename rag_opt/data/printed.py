"""Lists and mappings that went through a CSV file as Python, JSON or numpy prints them."""

from __future__ import annotations

import ast
import json
import re

_ARRAY = re.compile(r"array\((\[.*?\])(?:,\s*dtype=[^)]*)?\)", re.DOTALL)
_NO_COMMA = re.compile(r"(?<=['\"\]])\s+(?=['\"\[])")  # numpy writes none between elements


def read_printed(value: object) -> object:
    """Return the list or mapping that a text prints; anything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{", "(", "array(")):
        return value
    text = _NO_COMMA.sub(", ", _ARRAY.sub(r"\1", value.strip()))
    for read in (json.loads, ast.literal_eval):
        try:
            found: object = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(found, (list, tuple, dict)):
            return found
    return value


def read_list(value: object) -> list[object]:
    """Return the elements of a list, printed or not; one value alone as a list, nothing for None."""
    value = read_printed(value)
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
