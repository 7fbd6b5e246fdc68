"""Lines of a person's file as their type wants them: numbers as text where text is meant, null as absent."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence

from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.strict import field_names
from rag_opt.data.reading import JsonObject

_LISTED = 8
_NEAR = 0.75  # of difflib: a mistyped name


class PlainLines:
    """Turns lines into what `strict.load` reads of one type. `notes` say what was left out.

    `texts`: keys of text, where a number stands for its digits. `lists`: keys of lists, where one value stands for a
    list of it. `called`: what others call a key, by their name: such a key is refused with the name it has here.
    """

    def __init__(
        self, kind: type, *, texts: Sequence[str], lists: Sequence[str] = (), called: Mapping[str, str] | None = None
    ) -> None:
        self._known = field_names(kind)
        self._texts, self._lists, self._called = texts, lists, called or {}
        self._left_out: Counter[str] = Counter()

    def read(self, line: JsonObject, where: str) -> JsonObject:
        """Return the line. Raises BadInput for keys that are nearly, or elsewhere, the name of one that is read."""
        plain, problems = JsonObject(), list[Problem]()
        for key, value in line.items():
            meant = self._find_meant(key, line)
            if meant is not None:
                problems.append(Problem(f"{where}.{key}", f"there is no key {key!r}; did you mean {meant!r}?"))
            elif key not in self._known:
                self._left_out[key] += 1
            elif value is not None:
                plain[key] = self._to_plain(key, value)
        if problems:
            raise BadInput(problems)
        return plain

    def _find_meant(self, key: str, line: JsonObject) -> str | None:
        """Return the key that another one stands for; None where it is known, or nothing like those that are."""
        if key in self._known:
            return None
        near = difflib.get_close_matches(key, self._known, n=1, cutoff=_NEAR)
        meant = self._called.get(key) or (near[0] if near else None)
        return meant if meant is not None and line.get(meant) is None else None

    def _to_plain(self, key: str, value: object) -> object:
        if key in self._lists and not isinstance(value, list):
            value = [value]
        if key in self._texts:
            return [_to_text(one) for one in value] if isinstance(value, list) else _to_text(value)
        return value

    def notes(self, noun: str) -> list[str]:
        """Return a note of the keys that nothing reads; `noun`: what a line is."""
        if not self._left_out:
            return []
        names = ", ".join(name for name, _ in self._left_out.most_common(_LISTED))
        more = ", …" if len(self._left_out) > _LISTED else ""
        return [f"keys of {noun} that nothing reads were left out: {names}{more}"]


def _to_text(value: object) -> object:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
