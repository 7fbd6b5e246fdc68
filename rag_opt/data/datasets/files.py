"""Documents in files, as several formats of data sets have them: which are read, and what is said of the others."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from annotated_doc import Doc
from annotated_types import Gt
from pydantic.dataclasses import dataclass

from rag_opt.core import strict
from rag_opt.core.documents import Corpus, Document
from rag_opt.core.errors import BadInput, NoText, Problem, Unreadable
from rag_opt.core.readings import Reading
from rag_opt.core.strict import STRICT
from rag_opt.data.datasets.left_out import LeftOut, real_path
from rag_opt.data.decoding import is_encoding
from rag_opt.data.file_readers import FileReader
from rag_opt.data.formats import formats_by_suffix
from rag_opt.data.plain_lines import PlainLines
from rag_opt.data.reading import Problems, build_corpus, check_unique, read_json_lines
from rag_opt.data.reading_processes import Limits

_SKIP = "dataset.on_error=skip leaves out what cannot be read"


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
        for path in _all_below(source, lambda folder, why: left_out.folder(folder, why, self.exclude)):
            name = path.relative_to(source)
            if left_out.takes(path, name, self.exclude):
                continue
            if not path.is_file() or real_path(path) == real_path(questions):  # a linked folder is read where it lies
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


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _DocumentsAlone(DocumentFiles):
    documents: str

    @property
    def sources(self) -> tuple[str | None, str]:
        """Folder or file of the documents; there is no file of questions."""
        return self.documents, str(Path(self.documents) / "no questions")


def read_documents_alone(place: str | Path, files: FileReader) -> tuple[Corpus, list[str]]:
    """Return the documents of a folder, or of a `.jsonl` file, without questions beside them; and notes.

    A file that cannot be read is left out, and noted. Raises BadInput where there are no documents.
    """
    return _DocumentsAlone(documents=str(place), on_error="skip").read_documents(files)


def _all_below(folder: Path, refused: Callable[[Path, str], None]) -> list[Path]:
    """Return every file and every link below a folder, in order. `refused`: told of folders that cannot be opened."""

    def tell(error: OSError) -> None:
        refused(Path(error.filename), error.strerror or str(error))

    found = list[Path]()
    for place, folders, files in os.walk(folder, onerror=tell):
        found += [Path(place, name) for name in files]
        found += [path for name in folders if (path := Path(place, name)).is_symlink()]
    return sorted(found)


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
