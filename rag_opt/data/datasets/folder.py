from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass

from rag_opt.core import strict as config
from rag_opt.core.documents import Document
from rag_opt.core.errors import BadInput
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.formats.failing import Unreadable
from rag_opt.data.formats.office import docx_text, epub_text, pptx_text
from rag_opt.data.formats.pages import html_text
from rag_opt.data.formats.pdf import pdf_text
from rag_opt.data.question_lines import read_questions
from rag_opt.data.quotes import Resolver
from rag_opt.data.reading import Problems, check_questions, check_unique, decode, json_lines, make_corpus

_TEXT = {".md", ".markdown", ".txt", ".rst"}
_HTML = {".html", ".htm", ".xhtml"}
_CONVERTED: dict[str, Callable[[Path], str]] = {
    ".pdf": pdf_text,
    ".docx": docx_text,
    ".pptx": pptx_text,
    ".epub": epub_text,
}


_MOST_NAMED = 5


@register("dataset", "folder")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Folder:
    """A folder of Markdown, text, HTML, PDF, DOCX, PPTX and EPUB files, or one `.jsonl` of documents; questions as JSON
    lines.

    A file's id is its path below the folder; `folder` and `name` are its metadata for filters. `also`: endings of
    other text files to be read, as `.py`.
    """

    name: str = "folder"
    documents: str
    questions: str
    also: list[str] = field(default_factory=list)

    def read(self) -> Dataset:
        """Raises BadInput listing everything wrong with the documents and the questions."""
        problems, notes = Problems(), list[str]()
        source = Path(self.documents)
        corpus = make_corpus(read_documents(source, problems, notes, also=self.also), self.documents, problems)
        problems.refuse_if_any()  # without documents every piece of evidence would be reported missing
        found = read_questions(Path(self.questions), Resolver(corpus), problems)
        check_questions(found, corpus, problems)
        problems.refuse_if_any()
        return Dataset(self.name, corpus, tuple(question for _, question in found), tuple(notes))


def read_documents(
    source: Path, problems: Problems, notes: list[str], *, also: Sequence[str] = ()
) -> Iterator[Document]:
    """All documents of a folder or a `.jsonl` file. Files of other kinds, and those without text, are named in a note;
    one that is not what its name says is a problem.
    """
    if source.suffix == ".jsonl":
        yield from _from_lines(source, problems)
        return
    if not source.is_dir():
        problems.add("dataset.documents", f"there is no folder {str(source)!r}")
        return
    others, empty = 0, list[str]()
    texts = _TEXT | {ending.lower() for ending in also}
    for path in sorted(source.rglob("*")):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(source).parts):
            continue
        ending = path.suffix.lower()
        if ending not in {*texts, *_HTML, *_CONVERTED}:
            others += 1
            continue
        text = _text_of(path, ending, problems)
        if text is None:
            continue
        if not text.strip():
            empty.append(path.relative_to(source).as_posix())
            continue
        name = path.relative_to(source)
        metadata = {"folder": name.parent.as_posix(), "name": name.name}
        yield Document(name.as_posix(), text, title=name.stem, metadata=metadata)
    if others:
        kinds = ", ".join(sorted({*texts, *_HTML, *_CONVERTED}))
        notes.append(f"{others} files of {source} are none of {kinds} and were left out")
    if empty:
        names = ", ".join(empty[:_MOST_NAMED]) + (" …" if len(empty) > _MOST_NAMED else "")
        notes.append(f"{len(empty)} files of {source} hold no text and were left out (a scan has none): {names}")


def _text_of(path: Path, ending: str, problems: Problems) -> str | None:
    if ending in _CONVERTED:
        try:
            return _CONVERTED[ending](path)
        except Unreadable as error:
            problems.add(str(path), str(error))
            return None
    text = decode(path, problems)
    return html_text(text) if text is not None and ending in _HTML else text


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DocumentLine:
    id: str
    text: str
    title: str = ""
    metadata: dict[str, Any] | None = None


def _from_lines(path: Path, problems: Problems) -> Iterator[Document]:
    places: list[tuple[str, str]] = []
    for where, data in json_lines(path, problems):
        try:
            line = config.load(DocumentLine, data, path=where)
        except BadInput as error:
            problems.found += error.problems
            continue
        places.append((line.id, where))
        yield Document(line.id, line.text, line.title, line.metadata or {})
    check_unique(places, "document", problems)
