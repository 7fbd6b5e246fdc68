from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass

from rag_opt import config
from rag_opt.config import STRICT
from rag_opt.data.questions import read_questions
from rag_opt.data.reading import Problems, check_questions, check_unique, decode, json_lines, make_corpus
from rag_opt.data.resolve import Resolver
from rag_opt.errors import BadInput
from rag_opt.records import Dataset, Document
from rag_opt.registry import register

_TEXT = {".md", ".markdown", ".txt"}
_HTML = {".html", ".htm"}


@register("dataset", "folder")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Folder:
    """A folder of Markdown, text and HTML files, or one `.jsonl` of documents; questions as JSON lines.

    A file's id is its path below the folder; `folder` and `name` are its metadata for filters.
    """

    name: str = "folder"
    documents: str
    questions: str

    def read(self) -> Dataset:
        """Raises BadInput listing everything wrong with the documents and the questions."""
        problems, notes = Problems(), list[str]()
        source = Path(self.documents)
        corpus = make_corpus(read_documents(source, problems, notes), self.documents, problems)
        problems.refuse_if_any()  # without documents every piece of evidence would be reported missing
        found = read_questions(Path(self.questions), Resolver(corpus), problems)
        check_questions(found, corpus, problems)
        problems.refuse_if_any()
        return Dataset(self.name, corpus, tuple(question for _, question in found), tuple(notes))


def read_documents(source: Path, problems: Problems, notes: list[str]) -> Iterator[Document]:
    """All documents of a folder or a `.jsonl` file. Files of other kinds are counted in a note."""
    if source.suffix == ".jsonl":
        yield from _from_lines(source, problems)
        return
    if not source.is_dir():
        problems.add("dataset.documents", f"there is no folder {str(source)!r}")
        return
    others, empty = 0, 0
    for path in sorted(source.rglob("*")):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(source).parts):
            continue
        if path.suffix.lower() not in _TEXT | _HTML:
            others += 1
            continue
        text = decode(path, problems)
        if text is None:
            continue
        if path.suffix.lower() in _HTML:
            text = html_text(text)
        if not text.strip():
            empty += 1
            continue
        name = path.relative_to(source)
        metadata = {"folder": name.parent.as_posix(), "name": name.name}
        yield Document(name.as_posix(), text, title=name.stem, metadata=metadata)
    if others:
        notes.append(f"{others} files of {source} are neither Markdown, text nor HTML and were left out")
    if empty:
        notes.append(f"{empty} files of {source} hold no text and were left out")


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


def html_text(html: str) -> str:
    """The visible text of a page: scripts and styles left out, block elements on lines of their own."""
    from lxml import html as reader

    blocks = (
        "p div section article li ul ol table tr h1 h2 h3 h4 h5 h6 pre blockquote br dt dd figure main header footer"
    )
    try:
        page: Any = reader.document_fromstring(html.encode(), parser=reader.HTMLParser(encoding="utf-8"))
    except (reader.etree.ParserError, ValueError):
        return ""
    for element in [*page.iter("script", "style", "noscript", "template", "head")]:
        element.drop_tree()
    for element in page.iter(*blocks.split()):
        element.text = "\n" + (element.text or "")
        element.tail = "\n" + (element.tail or "")
    lines = [" ".join(line.split()) for line in page.text_content().splitlines()]
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip()
