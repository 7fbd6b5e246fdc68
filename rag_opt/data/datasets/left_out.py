"""What is not read of the files of a folder, by the reason, and what is said of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from rag_opt.core.errors import list_names
from rag_opt.core.readings import Reading, ReadingNote, describe_pages

_MAX_NAMES_SHOWN = 5
# folders of programs, never of documents
_PROGRAM_FOLDERS = frozenset(("node_modules", "bower_components", "__pycache__", "site-packages", "$RECYCLE.BIN"))
_LITTLE_TEXT, _MANY_BYTES = 200, 100_000  # characters of a file of so many bytes: fewer are suspicious
_KNOWN_ELSEWHERE = {
    ".doc": "save it as .docx", ".ppt": "save it as .pptx", ".xls": "save it as .xlsx", ".pages": "export it as .docx",
    ".msg": "save it as .eml", ".png": "space.reader={ocr: {}}", ".jpg": "space.reader={ocr: {}}",
    ".jpeg": "space.reader={ocr: {}}", ".tif": "space.reader={ocr: {}}", ".tiff": "space.reader={ocr: {}}",
    ".zip": "unpack it",
}  # fmt: skip


class LeftOut:
    """What was not read of the files of a folder, by the reason. `failed`: by its path why a file cannot be read."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self.failed: dict[str, str] = {}
        self._endings, self._hidden, self._programs = Counter[str](), Counter[str](), Counter[str]()
        self._unknown, self._excluded = list[str](), list[str]()
        self.empty, self.binary, self._links, self._broken_links = list[str](), list[str](), list[str](), list[str]()
        self._read: dict[str, list[tuple[str, ReadingNote, int]]] = {}
        self._little: list[str] = []

    def takes(self, path: Path, name: Path, exclude: Sequence[str]) -> bool:
        """Return whether a file is left out for where it lies, and count it then."""
        hidden = next((part for part in name.parts if part.startswith(".")), None)
        program = next((part for part in name.parts if part in _PROGRAM_FOLDERS), None)
        if hidden is not None:
            self._hidden[hidden] += 1
        elif program is not None:
            self._programs[program] += 1
        elif any(_matches(name, pattern) for pattern in exclude):
            self._excluded.append(name.as_posix())
        elif path.is_symlink() and not real_path(path).is_relative_to(real_path(self._source)):
            self._links.append(name.as_posix())
        elif path.is_symlink() and not path.exists():
            self._broken_links.append(name.as_posix())
        else:
            return False
        return True

    def folder(self, path: Path, why: str, exclude: Sequence[str]) -> None:
        """Keep why a folder cannot be read, unless it is left out anyway."""
        if path == self._source or not self.takes(path, path.relative_to(self._source), exclude):
            self.failed[str(path)] = f"cannot be read: {why}"

    def by_ending(self, name: str, ending: str) -> None:
        """Count a file that nothing reads."""
        self._endings[ending.lower() or "without an ending"] += 1
        self._unknown.append(name)

    def note(self, name: str, reading: Reading, size: int) -> None:
        """Keep what its reading says of a file."""
        for note in reading.notes:
            self._read.setdefault(note.what, []).append((name, note, reading.page_count))
        characters = len(reading.text.strip())
        if 0 < characters < _LITTLE_TEXT and size > _MANY_BYTES:
            self._little.append(f"{name} ({characters} characters of {size / 1e6:.1f} MB)")

    def reasons(self) -> dict[str, str]:
        """Return by the name of a file why it is no document, with the setting that helps."""
        unknown = {
            name: f"nothing reads {Path(name).suffix or 'files without an ending'}; {_advice(Path(name).suffix)}"
            for name in self._unknown
        }
        return {
            **unknown,
            **dict.fromkeys(self._excluded, "dataset.exclude leaves it out"),
            **dict.fromkeys(self.empty, "it holds no text (space.reader={ocr: {}} reads scans)"),
            **dict.fromkeys(self.binary, "it is no text, whatever its ending says"),
            **{_name_below(path, self._source): why for path, why in self.failed.items()},
        }

    def notes(self) -> list[str]:
        """Return a note for each reason that left something out."""
        notes = [_describe(what, found) for what, found in self._read.items()]
        where = self._source
        if self._endings:
            notes.append(self._describe_endings())
        for count, what, names in (
            (len(self._excluded), "were left out by dataset.exclude", []),
            (self._hidden.total(), "are hidden and were left out", [n for n, _ in self._hidden.most_common()]),
            (self._programs.total(), "lie in folders of programs and were left out", [*self._programs]),
            (len(self.empty), "hold no text and were left out", self.empty),
            (len(self.binary), "are no text, whatever their ending says, and were left out", self.binary),
            (len(self._little), "give little text for their size", self._little),
        ):
            if count:
                listed = f": {list_names(names)}" if names else ""
                notes.append(f"{count} files of {where} {what}{listed}")
        for links, what in (
            (self._links, "lead out of it and were not followed"),
            (self._broken_links, "lead to nothing"),
        ):
            if links:
                notes.append(f"{len(links)} links of {where} {what}: {list_names(links)}")
        if self.failed:
            reasons = [f"{Path(path).name} {why}" for path, why in self.failed.items()]
            notes.append(f"{len(self.failed)} files of {where} cannot be read and were left out: {list_names(reasons)}")
        return notes

    def _describe_endings(self) -> str:
        kinds = ", ".join(f"{count} {name}" for name, count in self._endings.most_common(_MAX_NAMES_SHOWN))
        more = ", …" if len(self._endings) > _MAX_NAMES_SHOWN else ""
        advice = [f"{end}: {_KNOWN_ELSEWHERE[end]}" for end in self._endings if end in _KNOWN_ELSEWHERE]
        other = ["dataset.also=[.xyz] reads others as text"] if len(advice) < len(self._endings) else []
        shown = f"({list_names(self._unknown, most=3)}; {'; '.join([*advice[:3], *other])})"
        return f"{self._endings.total()} files of {self._source} are of no format that is read: {kinds}{more} {shown}"


def _describe(what: str, found: Sequence[tuple[str, ReadingNote, int]]) -> str:
    """Return a note of the readings of several files as one line."""
    places, example = list[str](), next((note.example for _, note, _ in found if note.example), "")
    for name, note, page_count in found:
        counted = f"{len(note.pages)} of {page_count} pages: {describe_pages(note.pages)}" if page_count else ""
        place = counted if note.pages else (f"{note.count} times" if note.count > 1 else "")
        places.append(f"{name} ({place})" if place else name)
    shown = f", as {example!r}" if example else ""
    return f"{what}: {list_names(places)}{shown}"


def real_path(path: Path) -> Path:
    """Return where a path leads; of links that lead to themselves, where they stand."""
    return Path(os.path.realpath(path))


def _matches(name: Path, pattern: str) -> bool:
    """Return whether a path, the end of it, or a folder on it is of a pattern."""
    folders = any(fnmatch(folder, pattern.rstrip("/")) for folder in name.parts[:-1])
    return folders or name.match(pattern) or fnmatch(name.as_posix(), pattern)


def _advice(ending: str) -> str:
    return _KNOWN_ELSEWHERE.get(ending.lower(), f"dataset.also=[{ending or '.xyz'}] reads it as text")


def _name_below(path: str, folder: Path) -> str:
    return Path(path).relative_to(folder).as_posix() if Path(path) != folder else folder.name
