"""Collections of Milvus: a server, or a file of Milvus Lite."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pymilvus import DataType, MilvusClient

from rag_opt.core.arrays import IntArray, Vectors
from rag_opt.core.filters import SYMBOLS, Absent, Condition, OneOf
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.production.vector_stores.interfaces import CollectionShape, MetadataType, Records

_LONGEST_TEXT = 65_000  # bytes that a field of Milvus takes, rounded down
_PAGE = 10_000


def open_store(address: str) -> MilvusCollections:
    """Return the store of a server (http…), or of a file of Milvus Lite. A server's token: MILVUS_TOKEN."""
    return MilvusCollections(address)


class MilvusCollections:
    """Entities with `vector`, `text` (its first 65,000 bytes), `document`, `start`, `end`, `metadata` and `booleans`.

    The index is FLAT: every vector is compared. Metadata that are true or false have a field of their own: in one
    field true would equal 1 (Milvus Lite 3.2).
    """

    exact: ClassVar[bool] = True
    most_asked: ClassVar[int] = 16_384

    def __init__(self, address: str) -> None:
        self._client = MilvusClient(address, token=os.environ.get("MILVUS_TOKEN", ""))
        self._loaded: set[str] = set()

    def _load(self, collection: str) -> None:
        """Have the server hold a collection in memory: it answers of no other."""
        if collection not in self._loaded:
            self._client.load_collection(collection)
            self._loaded.add(collection)

    def names(self) -> set[str]:
        """Return the names of all collections."""
        return set(self._client.list_collections())

    def create(self, collection: str, shape: CollectionShape) -> None:
        """Create a collection; what was written is found at once."""
        schema = self._client.create_schema(auto_id=False)
        schema.add_field("chunk", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=shape.dimensions)
        for name in ("text", "document"):
            schema.add_field(name, DataType.VARCHAR, max_length=65_535)
        for name in ("start", "end"):
            schema.add_field(name, DataType.INT64)
        for name in ("metadata", "booleans"):
            schema.add_field(name, DataType.JSON)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        self._client.create_collection(collection, schema=schema, index_params=index, consistency_level="Strong")

    def stored(self, collection: str) -> IntArray:
        """Return the numbers of the chunks in a collection."""
        self._load(collection)
        found: list[int] = []
        pages = self._client.query_iterator(collection, batch_size=_PAGE, filter="chunk >= 0", output_fields=["chunk"])
        while page := pages.next():
            found += [int(one["chunk"]) for one in page]
        pages.close()
        return np.array(found, np.int64)

    def write(self, collection: str, records: Records) -> None:
        """Write records."""
        columns = (records.chunks.tolist(), records.vectors, records.texts, records.places, records.metadata)
        self._client.upsert(
            collection,
            [
                {
                    "chunk": chunk,
                    "vector": vector,
                    "text": text.encode()[:_LONGEST_TEXT].decode(errors="ignore"),
                    "document": place.document_id,
                    "start": place.start,
                    "end": place.end,
                    "metadata": {name: value for name, value in metadata.items() if not isinstance(value, bool)},
                    "booleans": {name: value for name, value in metadata.items() if isinstance(value, bool)},
                }
                for chunk, vector, text, place, metadata in zip(*columns, strict=True)
            ],
        )

    def target(self, alias: str) -> str | None:
        """Return the collection that an alias stands for."""
        for name in self._client.list_collections():
            if alias in self._client.list_aliases(collection_name=name).get("aliases", []):
                return str(name)
        return None

    def switch(self, alias: str, collection: str) -> None:
        """Move an alias."""
        if self.target(alias) is None:
            self._client.create_alias(collection, alias)
        else:
            self._client.alter_alias(collection, alias)

    def drop(self, collection: str) -> None:
        """Remove a collection."""
        self._client.drop_collection(collection)

    def search(self, collection: str, queries: Vectors, depth: int, conditions: Sequence[Condition]) -> RankedLists:
        """Return the nearest chunks of each query."""
        self._load(collection)
        where = " and ".join(f"({_test(condition)})" for condition in conditions)
        found = self._client.search(collection, data=list(queries), limit=depth, filter=where, output_fields=[])
        rows = [
            (
                np.array([hit["chunk"] for hit in hits], np.int32),
                np.array([hit["distance"] for hit in hits], np.float32),
            )
            for hits in found
        ]
        return RankedLists.stack(rows, depth)

    def vectors(self, collection: str, chunks: IntArray) -> Vectors:
        """Return the vectors of some chunks."""
        self._load(collection)
        found = self._client.get(collection, ids=chunks.tolist(), output_fields=["chunk", "vector"])
        known = {int(one["chunk"]): one["vector"] for one in found}
        return np.array([known[chunk] for chunk in chunks.tolist()], np.float32)

    def refusal(self, condition: Condition, kind: MetadataType) -> str:
        """Return nothing: every condition can be asked."""
        return ""

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _test(condition: Condition) -> str:
    fields = {name: f"{name}[{_literal(condition.name)}]" for name in ("metadata", "booleans")}
    if isinstance(condition, Absent):
        return " and ".join(f"not exists {field}" for field in fields.values())
    if isinstance(condition, OneOf):
        kinds = [("booleans" if isinstance(value, bool) else "metadata", value) for value in condition.values]
        return " or ".join(f"{fields[kind]} == {_literal(value)}" for kind, value in kinds)
    field = fields["metadata"]
    return " and ".join(f"{field} {SYMBOLS[operator]} {_literal(value)}" for operator, value in condition.bounds)


def _literal(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
