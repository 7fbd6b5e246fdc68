"""The slot `dataset`: formats of documents with questions."""

from __future__ import annotations

from typing import ClassVar, Protocol

from rag_opt.core.questions import Dataset
from rag_opt.core.registry import declare_slot


class DatasetReader(Protocol):
    """A format of data sets; its settings say where one lies."""

    slot: ClassVar[str]
    kind: ClassVar[str]

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput listing everything that is wrong with it."""
        ...


declare_slot("dataset", "what is read", DatasetReader)
