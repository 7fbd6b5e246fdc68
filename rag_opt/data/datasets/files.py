"""Documents in files, as several formats of data sets have them: which are read, and what is said of the others."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import field
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Literal

from annotated_doc import Doc
from annotated_types import Gt
from pydantic.dataclasses import dataclass

from rag_opt.core import strict
from rag_opt.core.documents import Corpus, Document
from rag_opt.core.errors import BadInput, NoText, Problem, Unreadable, list_names
from rag_opt.core.readings import Reading, ReadingNote, describe_pages
from rag_opt.core.strict import STRICT
from rag_opt.data.decoding import is_encoding
from rag_opt.data.file_readers import FileReader
from rag_opt.data.formats import formats_by_suffix
from rag_opt.data.plain_lines import PlainLines
from rag_opt.data.reading import Problems, build_corpus, check_unique, read_json_lines
from rag_opt.data.reading_processes import Limits

_MAX_NAMES_SHOWN = 5
# folders of programs, never of documents
_PROGRAM_FOLDERS = frozenset(("node_modules", "bower_components", "__pycache__", "site-packages", "$RECYCLE.BIN"))
_LITTLE_TEXT, _MANY_BYTES = 200, 100_000  # characters of a file of so many bytes: fewer are suspicious
_SKIP = "dataset.on_error=skip leaves out what cannot be read"
_KNOWN_ELSEWHERE = {
    ".doc": "save it as .docx", ".ppt": "save it as .pptx", ".xls": "save it as .xlsx", ".pages": "export it as .docx",
    ".msg": "save it as .eml", ".png": "space.reader={ocr: {}}", ".jpg": "space.reader={ocr: {}}",
    ".jpeg": "space.reader={ocr: {}}", ".tif": "space.reader={ocr: {}}", ".tiff": "space.reader={ocr: {}}",
    ".zip": "unpack it",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DocumentFiles:
    """Which files are documents, and how they are read."""

    also: Annotated[list[str], Doc("Endings of other text files to be read, as `.log`.")] = field(default_factory=list)
    exclude: Annotated[
        list[str], Doc("Patterns of paths below the folder that are left out, as `drafts/*`, `*.log`.")
    ] = field(default_factory=list)
    encoding: Annotated[str | None, Doc("Encoding of text files; null: UTF-8, what they declare, or as they look.")] = (
        None
    )
    on_error: Annotated[
        Literal["refuse", "skip"], Doc("What becomes of a file that cannot be read: all is refused, or it is left out.")
    ] = "refuse"
    max_characters: Annotated[int, Gt(0), Doc("Longest text of one document; more is a file that cannot be read.")] = (
        5_000_000
    )
    max_seconds: Annotated[float, Gt(0), Doc("Longest time that reading one file may take.")] = 300.0
    max_memory_mb: Annotated[int, Gt(0), Doc("Most memory of the process that reads one file, in megabytes.")] = 4000

    @property
    def sources(self) -> tuple[str | None, str]:
        """Folder or file of the documents (None: there is none), and the file of questions, which is no document."""
        raise NotImplementedError

    def read_documents(self, files: FileReader = FileReader()) -> tuple[Corpus, list[str]]:
        """Return the documents alone, and notes of them. Raises BadInput."""
        problems, notes = Problems(), list[str]()
        corpus, _ = self.read_corpus(files, problems, notes)
        problems.raise_if_any()
        return corpus, notes

    def read_corpus(self, files: FileReader, problems: Problems, notes: list[str]) -> tuple[Corpus, dict[str, str]]:
        """Return the documents, and by name why files that lie beside them are none.

        What is left out is named in `notes`; a file that cannot be read is a problem, unless `on_error` is skip.
        """
        source, questions = self.sources
        if source is None:
            raise BadInput([Problem("dataset.documents", "must be given")])
        left_out = LeftOut(Path(source))
        if self.encoding is not None and not is_encoding(self.encoding):
            problems.add(
                "dataset.encoding", f"Python knows no encoding {self.encoding!r}; utf-8, cp1252, latin-1 are some"
            )
            problems.raise_if_any()
        documents = self._documents(Path(source), Path(questions), files, problems, notes, left_out)
        corpus = build_corpus(documents, source, problems)
        if not corpus.documents:  # why there is none is said at once
            for note in left_out.notes():
                problems.add(source, note)
        return corpus, left_out.reasons()

    def _documents(
        self,
        source: Path,
        questions: Path,
        files: FileReader,
        problems: Problems,
        notes: list[str],
        left_out: LeftOut,
    ) -> Iterator[Document]:
        if source.is_file() and source.suffix.lower() in (".jsonl", ".json"):
            yield from _read_lines(source, problems, notes)
            return
        reader = dataclasses.replace(files, encoding=self.encoding, limits=Limits(self.max_seconds, self.max_memory_mb))
        found = list(self._find(source, questions, reader, left_out))
        if not source.exists():
            problems.add("dataset.documents", f"there is no file or folder {str(source)!r}")
            return
        text = formats_by_suffix()[".txt"]
        readings = reader.read_all((path for path, _ in found), otherwise=text)
        for (path, name), reading in zip(found, readings, strict=True):
            document = self._document(path, name, reading, left_out)
            if document is not None:
                yield document
        if self.on_error == "refuse":
            for where, why in left_out.failed.items():
                problems.add(where, why)
            if left_out.failed:
                problems.add("dataset.on_error", f"is refuse; {_SKIP}, and names it")
        notes += left_out.notes()

    def _find(self, source: Path, questions: Path, reader: FileReader, left_out: LeftOut) -> Iterator[tuple[Path, str]]:
        """Yield path and name of every file that is a document."""
        also = (ending if ending.startswith(".") or not ending else f".{ending}" for ending in self.also)
        known = {*reader.suffixes(), *(ending.lower() for ending in also)}
        if source.is_file():
            if source.suffix.lower() in known:
                yield source, source.name
            else:
                left_out.by_ending(source.name, source.suffix)
            return
        for path in sorted(source.rglob("*")):
            name = path.relative_to(source)
            if not (path.is_file() or path.is_symlink()) or left_out.takes(path, name, self.exclude):
                continue
            if not path.is_file() or _real(path) == _real(questions):  # a linked folder is read where it lies
                continue
            if path.suffix.lower() in known:
                yield path, os.fsencode(name.as_posix()).decode("utf-8", "backslashreplace")
            else:
                left_out.by_ending(name.as_posix(), path.suffix)

    def _document(self, path: Path, name: str, reading: Reading | Unreadable, left_out: LeftOut) -> Document | None:
        if isinstance(reading, NoText):
            left_out.binary.append(name)
            return None
        if isinstance(reading, Unreadable):
            left_out.failed[str(path)] = str(reading)
            return None
        if len(reading.text) > self.max_characters:
            long = f"has {len(reading.text):,} characters, more than dataset.max_characters={self.max_characters:,}"
            left_out.failed[str(path)] = f"{long}; dataset.exclude=['{path.name}'] leaves it out"
            return None
        left_out.note(name, reading, path.stat().st_size)
        if not reading.text.strip():
            left_out.empty.append(name)
            return None
        metadata = {"folder": Path(name).parent.as_posix(), "name": path.name}
        title = reading.title or path.stem
        return Document(name, reading.text, title, metadata, reading.blocks, reading.pages)


class LeftOut:
    """What was not read of the files of a folder, by the reason. `failed`: by its path why a file cannot be read."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self.failed: dict[str, str] = {}
        self._endings, self._hidden, self._programs = Counter[str](), Counter[str](), Counter[str]()
        self._unknown, self._excluded = list[str](), list[str]()
        self.empty, self.binary, self._links = list[str](), list[str](), list[str]()
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
        elif path.is_symlink() and not _real(path).is_relative_to(_real(self._source)):
            self._links.append(name.as_posix())
        else:
            return False
        return True

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
        if self._links:
            what = "lead out of it and were not followed"
            notes.append(f"{len(self._links)} links of {where} {what}: {list_names(self._links)}")
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


def _real(path: Path) -> Path:
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


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DocumentLine:
    """One line of a file of documents."""

    id: Annotated[str, Doc("Name of the document, which no other has.")]
    text: Annotated[str, Doc("Its text.")]
    title: Annotated[str, Doc("Its title.")] = ""
    metadata: Annotated[dict[str, object] | None, Doc("Values that a question's filters compare with.")] = None


_CALLED = {
    "_id": "id", "doc_id": "id", "contents": "text", "content": "text", "body": "text", "page_content": "text",
}  # fmt: skip


def _read_lines(path: Path, problems: Problems, notes: list[str]) -> Iterator[Document]:
    places, plain = list[tuple[str, str]](), PlainLines(DocumentLine, texts=("id", "title"), called=_CALLED)
    for where, data in read_json_lines(path, problems):
        try:
            line = strict.load(DocumentLine, plain.read(data, where), path=where)
        except BadInput as error:
            problems.collected += error.problems
            continue
        places.append((line.id, where))
        yield Document(line.id, line.text, line.title, line.metadata or {})
    check_unique(places, "document", problems)
    notes += plain.notes("documents")
