"""Documents of any number: few stay in memory, many lie in a file, and memory holds those that were read last."""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

from rag_opt.core.documents import Document

MOST_CHARACTERS = 64_000_000  # of texts in memory before they go into a file
_READ_LAST = 16_000_000  # characters


def kept(
    documents: Iterable[Document], *, by_id: bool = True, most_characters: int | None = None
) -> Sequence[Document]:
    """The documents by id or as they come. Texts of more than `most_characters` (64 million) together lie in a
    file; raises OSError where there is no room for it.
    """
    most = MOST_CHARACTERS if most_characters is None else most_characters
    first, size, rest = list[Document](), 0, iter(documents)
    for document in rest:
        first.append(document)
        size += len(document.text)
        if size > most:
            return DocumentsOnDisk(itertools.chain(first, rest), by_id=by_id)
    return tuple(sorted(first, key=lambda document: document.id) if by_id else first)


class _Entry(NamedTuple):
    id: str
    title: str
    metadata: Mapping[str, Any]
    start: int
    length: int


class DocumentsOnDisk(Sequence[Document]):
    """Texts in a temporary file, which the system removes when the process ends, however it ends."""

    def __init__(self, documents: Iterable[Document], *, by_id: bool) -> None:
        self._file = tempfile.TemporaryFile(prefix="rag_opt_documents_")  # noqa: SIM115 (open as long as this lives)
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self._last: OrderedDict[int, Document] = OrderedDict()
        self._held = 0
        self._entries, place = list[_Entry](), 0
        for one in documents:
            raw = one.text.encode("utf-8", "surrogatepass")
            self._file.write(raw)
            self._entries.append(_Entry(one.id, one.title, one.metadata, place, len(raw)))
            place += len(raw)
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
            return tuple(self[one] for one in range(*row.indices(len(self))))
        with self._lock:
            return self._read(range(len(self))[row])

    def _bytes(self, entry: _Entry) -> bytes:
        if hasattr(os, "pread"):  # a forked process shares the file's place with this one
            return b"".join(self._pieces(entry))
        self._file.seek(entry.start)
        return self._file.read(entry.length)

    def _pieces(self, entry: _Entry) -> Iterator[bytes]:
        place, end = entry.start, entry.start + entry.length
        while place < end:
            piece = os.pread(self._file.fileno(), end - place, place)
            if not piece:
                raise OSError(f"the file of documents in {tempfile.gettempdir()} is shorter than it was")
            place += len(piece)
            yield piece

    def _read(self, row: int) -> Document:
        found = self._last.pop(row, None)
        if found is None:
            entry = self._entries[row]
            text = self._bytes(entry).decode("utf-8", "surrogatepass")
            found = Document(entry.id, text, entry.title, entry.metadata)
            self._held += len(text)
        self._last[row] = found
        while self._held > _READ_LAST and len(self._last) > 1:
            self._held -= len(self._last.popitem(last=False)[1].text)
        return found
