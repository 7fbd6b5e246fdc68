"""The slot `dataset`: formats of documents with questions."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from rag_opt.core.documents import Corpus
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import declare_slot
from rag_opt.data.file_readers import FileReader


class DatasetFormat(Protocol):
    """A format of data sets; its settings say where one lies."""

    slot: ClassVar[str]
    kind: ClassVar[str]

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput listing everything that is wrong with it."""
        ...


@runtime_checkable
class FilesDatasetFormat(Protocol):
    """A format of data sets whose documents are files, which several readers may read."""

    slot: ClassVar[str]
    kind: ClassVar[str]

    def read(self, files: FileReader, *, lenient: bool = False) -> Dataset:
        """Return the data set, its files read by `files`. Raises BadInput listing everything that is wrong with it.

        `lenient`: evidence that is not found is a LostPassage, because another reader may have it.
        """
        ...

    def read_documents(self, files: FileReader) -> tuple[Corpus, list[str]]:
        """Return the documents alone, and notes of them. Raises BadInput."""
        ...


declare_slot("dataset", "what is read", DatasetFormat, FilesDatasetFormat)
