"""Collections of a Chroma server; an alias is an empty collection that names another."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

import chromadb
import numpy as np
from chromadb.config import Settings
from chromadb.errors import NotFoundError

from rag_opt.core.arrays import IntArray, Vectors
from rag_opt.core.filters import Absent, Condition, OneOf, Scalar
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.production.vector_stores.interfaces import CollectionShape, MetadataType, Records

_TARGET = "rag_opt_collection"
_ABSENT = "rag_opt_absent_"  # before a name that a document lacks: Chroma cannot ask for what is not there
# denser than Chroma's own graph: a list of 50 must hold the 50 nearest
_HNSW = {"space": "ip", "ef_construction": 200, "max_neighbors": 32, "ef_search": 200}


def open_store(address: str) -> ChromaCollections:
    """Return the store of a server (http…). Its token: CHROMA_API_KEY, sent as `x-chroma-token`."""
    return ChromaCollections(address)


class ChromaCollections:
    """Records with the content as document, the metadata (numbers as floats), `rag_opt_document`, `_start` and `_end`.

    A server of Chroma searches its graph (HNSW) whatever it is asked, so its lists are approximate.
    """

    exact: ClassVar[bool] = False
    most_asked: ClassVar[int] = 1_000_000

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        token = os.environ.get("CHROMA_API_KEY")
        self._client = chromadb.HttpClient(
            host=parts.hostname or "",
            port=parts.port or (443 if parts.scheme == "https" else 8000),
            ssl=parts.scheme == "https",
            headers={"x-chroma-token": token} if token else None,
            settings=Settings(anonymized_telemetry=False),
        )

    def _collection(self, name: str) -> Any:
        return self._client.get_collection(name, embedding_function=None)

    def names(self) -> set[str]:
        """Return the names of all collections."""
        return {one.name for one in self._client.list_collections()}

    def create(self, collection: str, shape: CollectionShape) -> None:
        """Create a collection."""
        names = {"rag_opt_metadata": "\n".join(shape.metadata)}
        self._client.create_collection(
            collection, metadata=names, embedding_function=None, configuration={"hnsw": dict(_HNSW)}
        )

    def stored(self, collection: str) -> IntArray:
        """Return the numbers of the chunks in a collection."""
        found, kept = list[str](), self._collection(collection)
        while ids := kept.get(include=[], limit=10_000, offset=len(found))["ids"]:
            found += ids
        return np.array([int(id) for id in found], np.int64)

    def write(self, collection: str, records: Records) -> None:
        """Write records."""
        kept = self._collection(collection)
        names = (kept.metadata or {}).get("rag_opt_metadata", "").split("\n")
        metadata = [
            {
                **{name: _as_stored(value) for name, value in known.items()},
                **{f"{_ABSENT}{name}": True for name in names if name and name not in known},
                "rag_opt_document": place.document_id,
                "rag_opt_start": place.start,
                "rag_opt_end": place.end,
            }
            for known, place in zip(records.metadata, records.places, strict=True)
        ]
        kept.upsert(
            ids=[str(chunk) for chunk in records.chunks.tolist()],
            embeddings=records.vectors,
            documents=list(records.texts),
            metadatas=metadata,
        )

    def target(self, alias: str) -> str | None:
        """Return the collection that an alias stands for."""
        try:
            named = (self._collection(alias).metadata or {}).get(_TARGET)
        except NotFoundError:
            return None
        return None if named is None else str(named)

    def switch(self, alias: str, collection: str) -> None:
        """Let an alias stand for another collection."""
        self._client.get_or_create_collection(alias, embedding_function=None).modify(metadata={_TARGET: collection})

    def drop(self, collection: str) -> None:
        """Remove a collection."""
        self._client.delete_collection(collection)

    def search(self, collection: str, queries: Vectors, depth: int, conditions: Sequence[Condition]) -> RankedLists:
        """Return chunks that are near to each query."""
        tests = [_where(condition) for condition in conditions]
        where = {"where": tests[0] if len(tests) == 1 else {"$and": tests}} if tests else {}
        kept = self._collection(collection)
        found = kept.query(query_embeddings=queries, n_results=depth, include=["distances"], **where)
        rows = [
            (np.array([int(id) for id in ids], np.int32), (1 - np.array(distances)).astype(np.float32))
            for ids, distances in zip(found["ids"], found["distances"], strict=True)
        ]
        return RankedLists.stack(rows, depth)

    def vectors(self, collection: str, chunks: IntArray) -> Vectors:
        """Return the vectors of some chunks."""
        ids = [str(chunk) for chunk in chunks.tolist()]
        found = self._collection(collection).get(ids=list(dict.fromkeys(ids)), include=["embeddings"])
        known = dict(zip(found["ids"], found["embeddings"], strict=True))
        return np.array([known[id] for id in ids], np.float32)

    def refusal(self, condition: Condition, kind: MetadataType) -> str:
        """Return why a condition cannot be asked: texts have no order in Chroma."""
        if isinstance(condition, OneOf | Absent) or not condition.of_texts:
            return ""
        return "Chroma has ranges of numbers, not of texts"

    def close(self) -> None:
        """Nothing is held open."""


def _as_stored(value: Scalar) -> Scalar:
    """Return a number as a float: Chroma cuts what it compares with a whole number (1.5 would equal 1)."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _where(condition: Condition) -> Mapping[str, object]:
    if isinstance(condition, Absent):
        return {f"{_ABSENT}{condition.name}": True}
    if isinstance(condition, OneOf):
        tests: list[Mapping[str, object]] = [{condition.name: _as_stored(value)} for value in condition.values]
    else:
        tests = [{condition.name: {f"${operator}": _as_stored(value)}} for operator, value in condition.bounds]
    joined = "$or" if isinstance(condition, OneOf) else "$and"
    return tests[0] if len(tests) == 1 else {joined: tests}
