"""A person's own documents in a folder, and their questions as JSON lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core import strict
from rag_opt.core.documents import Document
from rag_opt.core.errors import BadInput, Unreadable
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.plain_lines import PlainLines
from rag_opt.data.question_lines import read_questions
from rag_opt.data.quotes import QuoteResolver
from rag_opt.data.readers import readers_by_suffix
from rag_opt.data.reading import (
    Problems,
    build_corpus,
    check_questions,
    check_unique,
    describe_cut_words,
    read_json_lines,
    read_utf8,
)

_MAX_NAMES_SHOWN = 5


@register("dataset", "folder")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Folder:
    """A folder of Markdown, text, HTML, PDF, DOCX, PPTX and EPUB files, or one `.jsonl` of documents; questions as JSON
    lines.

    A file's id is its path below the folder; `folder` and `name` are its metadata for filters.
    """

    name: Annotated[str, Doc("Name of the data set.")] = "folder"
    documents: Annotated[str, Doc("The folder, one file, or a `.jsonl` file of documents.")]
    questions: Annotated[str, Doc("File with a question as a JSON object on each line.")]
    also: Annotated[list[str], Doc("Endings of other text files to be read, as `.py`.")] = field(default_factory=list)
    exclude: Annotated[
        list[str], Doc("Patterns of paths below the folder that are left out, as `node_modules/*`, `*.log`.")
    ] = field(default_factory=list)

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with the documents and the questions."""
        problems, notes = Problems(), list[str]()
        source = Path(self.documents)
        corpus = build_corpus(
            read_documents(source, problems, notes, also=self.also, exclude=self.exclude), self.documents, problems
        )
        problems.raise_if_any()  # without documents every piece of evidence would be reported missing
        resolver = QuoteResolver(corpus)
        located = read_questions(Path(self.questions), resolver, problems, notes)
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        notes += [*resolver.notes(), *describe_cut_words(located, corpus)]
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))


def read_documents(
    source: Path, problems: Problems, notes: list[str], *, also: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Iterator[Document]:
    """Yield all documents of a folder, of a `.jsonl` or `.json` file, or the one that another file is.

    `also`: endings of other files, to be read as plain text. `exclude`: patterns of paths below the folder. What is
    left out is named in notes; a file that is not what its name says is a problem.
    """
    if source.suffix in (".jsonl", ".json"):
        yield from _read_lines(source, problems, notes)
        return
    readers = {suffix: reader.read for suffix, reader in readers_by_suffix().items()}
    readers = {**{suffix.lower(): read_utf8 for suffix in also}, **readers}
    left_out = _LeftOut(source, sorted(readers))
    if source.is_file() and source.suffix.lower() in readers:
        yield from _read_file(source, source.name, readers, left_out, problems)
    elif not source.is_dir():
        problems.add("dataset.documents", f"there is no folder {str(source)!r}")
        return
    for path in sorted(source.rglob("*")) if source.is_dir() else ():
        name = path.relative_to(source)
        hidden = next((part for part in name.parts if part.startswith(".")), None)
        if hidden is not None:
            left_out.hidden[hidden] += path.is_file()
        elif any(name.match(pattern) or fnmatch(name.as_posix(), pattern) for pattern in exclude):
            left_out.excluded += path.is_file()
        elif path.is_symlink() and not path.resolve().is_relative_to(source.resolve()):
            left_out.links.append(name.as_posix())
        elif path.is_file():
            yield from _read_file(path, name.as_posix(), readers, left_out, problems)
    notes += left_out.notes()


class _LeftOut:
    """Files of a folder that were not read, by the reason. `known`: endings that are read."""

    def __init__(self, source: Path, known: Sequence[str]) -> None:
        self._source, self._known = source, known
        self.endings, self.hidden, self.excluded = Counter[str](), Counter[str](), 0
        self.empty, self.links = list[str](), list[str]()

    def notes(self) -> list[str]:
        """Return a note for each reason that left something out."""
        notes = list[str]()
        if self.endings:
            kinds = ", ".join(f"{count} {name}" for name, count in self.endings.most_common(_MAX_NAMES_SHOWN))
            more = ", …" if len(self.endings) > _MAX_NAMES_SHOWN else ""
            what = f"{self.endings.total()} files of {self._source} are none of {', '.join(self._known)}"
            notes.append(f"{what} and were left out: {kinds}{more} (dataset.also=[.xyz] reads them as text)")
        if self.excluded:
            notes.append(f"{self.excluded} files of {self._source} were left out by dataset.exclude")
        if self.hidden.total():
            names = _listed([name for name, count in self.hidden.most_common() if count])
            notes.append(f"{self.hidden.total()} files of {self._source} are hidden and were left out: {names}")
        if self.empty:
            what = "hold no text and were left out (a scan has none)"
            notes.append(f"{len(self.empty)} files of {self._source} {what}: {_listed(self.empty)}")
        if self.links:
            what = "lead out of it and were not followed"
            notes.append(f"{len(self.links)} links of {self._source} {what}: {_listed(self.links)}")
        return notes


def _read_file(
    path: Path, name: str, readers: Mapping[str, Callable[[Path], str]], left_out: _LeftOut, problems: Problems
) -> Iterator[Document]:
    read = readers.get(path.suffix.lower())
    if read is None:
        left_out.endings[path.suffix.lower() or "without an ending"] += 1
        return
    try:
        text = read(path)
    except Unreadable as error:
        problems.add(str(path), str(error))
        return
    if not text.strip():
        left_out.empty.append(name)
        return
    metadata = {"folder": Path(name).parent.as_posix(), "name": path.name}
    yield Document(name, text, title=path.stem, metadata=metadata)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMES_SHOWN]) + (" …" if len(names) > _MAX_NAMES_SHOWN else "")


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
