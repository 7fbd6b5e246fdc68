"""A person's own documents in a folder, and their questions as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
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
    documents: Annotated[str, Doc("The folder, or the `.jsonl` file.")]
    questions: Annotated[str, Doc("File with a question as a JSON object on each line.")]
    also: Annotated[list[str], Doc("Endings of other text files to be read, as `.py`.")] = field(default_factory=list)

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with the documents and the questions."""
        problems, notes = Problems(), list[str]()
        source = Path(self.documents)
        corpus = build_corpus(read_documents(source, problems, notes, also=self.also), self.documents, problems)
        problems.raise_if_any()  # without documents every piece of evidence would be reported missing
        resolver = QuoteResolver(corpus)
        located = read_questions(Path(self.questions), resolver, problems, notes)
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        notes += [*resolver.notes(), *describe_cut_words(located, corpus)]
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))


def read_documents(
    source: Path, problems: Problems, notes: list[str], *, also: Sequence[str] = ()
) -> Iterator[Document]:
    """Yield all documents of a folder or a `.jsonl` file. `also`: endings of other files, to be read as plain text.

    Files of other kinds, and those without text, are named in a note; one that is not what its name says is a problem.
    """
    if source.suffix in (".jsonl", ".json"):
        yield from _read_lines(source, problems, notes)
        return
    if not source.is_dir():
        problems.add("dataset.documents", f"there is no folder {str(source)!r}")
        return
    readers = {suffix: reader.read for suffix, reader in readers_by_suffix().items()}
    readers = {**{suffix.lower(): read_utf8 for suffix in also}, **readers}
    others, empty, links = 0, list[str](), list[str]()
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if any(part.startswith(".") for part in name.parts):
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(source.resolve()):
            links.append(name.as_posix())
            continue
        if not path.is_file():
            continue
        read = readers.get(path.suffix.lower())
        if read is None:
            others += 1
            continue
        try:
            text = read(path)
        except Unreadable as error:
            problems.add(str(path), str(error))
            continue
        if not text.strip():
            empty.append(name.as_posix())
            continue
        metadata = {"folder": name.parent.as_posix(), "name": name.name}
        yield Document(name.as_posix(), text, title=name.stem, metadata=metadata)
    if others:
        notes.append(f"{others} files of {source} are none of {', '.join(sorted(readers))} and were left out")
    if empty:
        what = "hold no text and were left out (a scan has none)"
        notes.append(f"{len(empty)} files of {source} {what}: {_listed(empty)}")
    if links:
        notes.append(f"{len(links)} links of {source} lead out of it and were not followed: {_listed(links)}")


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
