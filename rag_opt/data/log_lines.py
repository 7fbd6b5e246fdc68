"""One line of the log of a running system: written by a service, read as a data set, labelled, and held by a gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core import strict
from rag_opt.core.errors import BadInput
from rag_opt.core.strict import STRICT
from rag_opt.data.reading import Problems, read_json_lines

_UP = {"up", "1", "true", "👍", "good", "yes"}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LogLine:
    """One line of a log."""

    question: Annotated[str, Doc("Text of the question.")]
    answer: Annotated[str | None, Doc("The answer that the system gave.")] = None
    passages: Annotated[
        list[object] | None, Doc('What it showed: texts, or `{"document"}` with or without `start` and `end`.')
    ] = None
    thumb: Annotated[str | int | bool | None, Doc("What the person said of the answer: up, 1, true, …")] = None
    right_passage: Annotated[
        object | None, Doc("The passage that a person named as the right one, in the same form.")
    ] = None
    id: Annotated[str | None, Doc("Its name; without one it is named by the number of its line.")] = None
    filters: Annotated[dict[str, object] | None, Doc("Metadata that documents had to have.")] = None
    comment: Annotated[str | None, Doc("What the person wrote.")] = None
    time: Annotated[str | None, Doc("When, as ISO 8601.")] = None

    @property
    def is_up(self) -> bool:
        """Whether the person said that the answer was good."""
        return str(self.thumb).lower() in _UP


def read_log(path: Path, problems: Problems) -> list[tuple[str, LogLine]]:
    """Return the lines of a log, each with its place.

    Of several with one id (somebody said more, or changed their mind) the last word counts.
    """
    found: dict[str, tuple[str, LogLine]] = {}
    for where, data in read_json_lines(path, problems):
        try:
            line = strict.load(LogLine, data, path=where)
        except BadInput as error:
            problems.collected += error.problems
            continue
        name = line.id or where
        if name in found:
            first, earlier = found[name]
            said = {key: value for key, value in strict.dump(line).items() if value is not None}
            found[name] = first, strict.load(LogLine, {**strict.dump(earlier), **said}, path=where)
        else:
            found[name] = where, line
    return list(found.values())
