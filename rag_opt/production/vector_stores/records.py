"""Chunks of a pipeline as records of a collection."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from rag_opt.core.arrays import IntArray, Vectors
from rag_opt.core.documents import Corpus, Span
from rag_opt.core.filters import Scalar, is_scalar
from rag_opt.pipeline.ask import Pipeline
from rag_opt.production.vector_stores.interfaces import MetadataType, Records

_NAME = re.compile(r"[^\W\d]([\w .-]*[\w.-])?")
_LARGEST = 2**53


def build_records(pipeline: Pipeline, chunks: IntArray, vectors: Vectors) -> Records:
    """Return some chunks with their vectors as a collection holds them."""
    table, documents = pipeline.chunks, pipeline.corpus.documents
    columns = (column[chunks].tolist() for column in (table.document, table.start, table.end))
    places = [Span(documents[document].id, start, end) for document, start, end in zip(*columns, strict=True)]
    texts = [pipeline.texts.of(place) for place in places]
    metadata = [_scalars(pipeline.corpus.metadata[row]) for row in table.document[chunks].tolist()]
    return Records(np.asarray(chunks, np.int64), vectors, texts, places, metadata)


def metadata_types(corpus: Corpus) -> dict[str, MetadataType]:
    """Return the type of each metadata that can be filtered by; others (`is_storable`) are left out."""
    found: dict[str, set[type]] = {}
    for metadata in corpus.metadata:
        for name, value in metadata.items():
            if is_storable(name, value):
                found.setdefault(name, set()).add(type(value))
    return {name: _type_name(types) for name, types in sorted(found.items())}


def find_not_pushed(corpus: Corpus) -> set[str]:
    """Return the names of metadata that some document has and that are not in the collection, null apart."""
    return {
        name
        for metadata in corpus.metadata
        for name, value in metadata.items()
        if value is not None and not is_storable(name, value)
    }


def is_storable(name: str, value: object) -> bool:
    """Return whether every store keeps a value as it is: a text without NUL, true, false, a number that is exact as a
    float; under a name of letters, digits, spaces, dots, hyphens and underscores, none of which is ours."""
    if _NAME.fullmatch(name) is None or name.startswith("rag_opt_") or not is_scalar(value):
        return False
    return "\0" not in value if isinstance(value, str) else not isinstance(value, int) or abs(value) <= _LARGEST


def _type_name(types: set[type]) -> MetadataType:
    if types <= {int, float}:
        return "integer" if types == {int} else "number"
    if len(types) > 1:
        return "mixed"
    return "text" if types == {str} else "boolean"


def _scalars(metadata: Mapping[str, object]) -> dict[str, Scalar]:
    return {name: value for name, value in metadata.items() if is_scalar(value) and is_storable(name, value)}
