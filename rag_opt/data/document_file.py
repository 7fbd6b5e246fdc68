"""Documents of any number: few stay in memory, many lie in a file, and memory holds those that were read last."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

import orjson

from rag_opt.core.documents import Document, Metadata, build_document

MAX_CHARACTERS_IN_MEMORY = 64_000_000  # of all texts together; where there are more they go into a file
_MAX_CHARACTERS_CACHED = 16_000_000  # of the texts that were read last from the file


def collect_documents(
    documents: Iterable[Document], *, by_id: bool = True, max_characters: int | None = None
) -> Sequence[Document]:
    """Return the documents, ordered by id or as they come.

    Texts of more than `max_characters` (64 million) together lie in a temporary file. Raises OSError where there is no
    room for it.
    """
    limit = MAX_CHARACTERS_IN_MEMORY if max_characters is None else max_characters
    first, characters, rest = list[Document](), 0, iter(documents)
    for document in rest:
        first.append(document)
        characters += len(document.text)
        if characters > limit:
            return DocumentsOnDisk(itertools.chain(first, rest), by_id=by_id)
    return tuple(sorted(first, key=lambda document: document.id) if by_id else first)


class _Entry(NamedTuple):
    """One document without its text, which lies at `start` in the file and has `length` bytes."""

    id: str
    title: str
    metadata: Metadata
    structure: bytes
    start: int
    length: int


class DocumentsOnDisk(Sequence[Document]):
    """Texts in a temporary file, which the system removes when the process ends, however it ends."""

    def __init__(self, documents: Iterable[Document], *, by_id: bool) -> None:
        self._file = tempfile.TemporaryFile(prefix="rag_opt_documents_")  # noqa: SIM115 (open as long as this lives)
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, Document] = OrderedDict()
        self._cached_characters = 0
        self._entries, offset = list[_Entry](), 0
        for document in documents:
            raw = document.text.encode("utf-8", "surrogatepass")
            self._file.write(raw)
            structure = orjson.dumps(document.structure)
            self._entries.append(_Entry(document.id, document.title, document.metadata, structure, offset, len(raw)))
            offset += len(raw)
        self._file.flush()
        if by_id:
            self._entries.sort(key=lambda entry: entry.id)

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, row: int) -> Document: ...

    @overload
    def __getitem__(self, row: slice) -> Sequence[Document]: ...

    def __getitem__(self, row: int | slice) -> Document | Sequence[Document]:
        if isinstance(row, slice):
            return tuple(self[number] for number in range(*row.indices(len(self))))
        with self._lock:
            return self._read(range(len(self))[row])

    def _bytes(self, entry: _Entry) -> bytes:
        if sys.platform == "win32":
            self._file.seek(entry.start)
            return self._file.read(entry.length)
        return b"".join(self._pieces(entry))

    def _pieces(self, entry: _Entry) -> Iterator[bytes]:
        """Yield the bytes of a text without moving the file's position: a forked process shares it with this one."""
        offset, end = entry.start, entry.start + entry.length
        while offset < end:
            piece = os.pread(self._file.fileno(), end - offset, offset)
            if not piece:
                raise OSError(f"the file of documents in {tempfile.gettempdir()} is shorter than it was")
            offset += len(piece)
            yield piece

    def _read(self, row: int) -> Document:
        document = self._cache.pop(row, None)
        if document is None:
            entry = self._entries[row]
            text = self._bytes(entry).decode("utf-8", "surrogatepass")
            blocks, pages = orjson.loads(entry.structure)
            document = build_document(entry.id, text, entry.title, entry.metadata, blocks, pages)
            self._cached_characters += len(text)
        self._cache[row] = document
        while self._cached_characters > _MAX_CHARACTERS_CACHED and len(self._cache) > 1:
            self._cached_characters -= len(self._cache.popitem(last=False)[1].text)
        return document
