"""Collections of Qdrant: a server, or a folder that Qdrant's client reads itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from qdrant_client import QdrantClient, models

from rag_opt.core.arrays import IntArray, Vectors
from rag_opt.core.filters import Absent, Condition, OneOf, Scalar
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.production.vector_stores.interfaces import CollectionShape, MetadataType, Records

_PAGE = 10_000
_TIMEOUT_S = 60


def open_store(address: str) -> QdrantCollections:
    """Return the store of a server (http…), or of a folder. The key of a server: QDRANT_API_KEY."""
    return QdrantCollections(address)


class QdrantCollections:
    """Points with the payload `text`, `document`, `start`, `end` and `metadata`; every vector is compared."""

    exact: ClassVar[bool] = True
    most_asked: ClassVar[int] = 1_000_000

    def __init__(self, address: str) -> None:
        self._parameters = (
            models.SearchParams(exact=True) if "://" in address else None
        )  # a folder is always searched so
        if "://" in address:
            self._client = QdrantClient(url=address, api_key=os.environ.get("QDRANT_API_KEY"), timeout=_TIMEOUT_S)
        else:
            self._client = QdrantClient(path=address)

    def names(self) -> set[str]:
        """Return the names of all collections."""
        return {one.name for one in self._client.get_collections().collections}

    def create(self, collection: str, shape: CollectionShape) -> None:
        """Create a collection whose vectors stay as they are: with `Cosine` Qdrant would scale them again."""
        vectors = models.VectorParams(size=shape.dimensions, distance=models.Distance.DOT)
        self._client.create_collection(collection, vectors_config=vectors)

    def stored(self, collection: str) -> IntArray:
        """Return the numbers of the chunks in a collection."""
        found: list[int] = []
        offset = None
        while True:
            points, offset = self._client.scroll(
                collection, limit=_PAGE, offset=offset, with_payload=False, with_vectors=False
            )
            found += [int(point.id) for point in points]
            if offset is None:
                return np.array(found, np.int64)

    def write(self, collection: str, records: Records) -> None:
        """Write records, and wait until they can be found."""
        payloads = [
            {
                "text": text,
                "document": place.document_id,
                "start": place.start,
                "end": place.end,
                "metadata": dict(known),
            }
            for text, place, known in zip(records.texts, records.places, records.metadata, strict=True)
        ]
        batch = models.Batch(ids=records.chunks.tolist(), vectors=records.vectors.tolist(), payloads=payloads)
        self._client.upsert(collection, batch, wait=True)

    def target(self, alias: str) -> str | None:
        """Return the collection that an alias stands for."""
        aliases = self._client.get_aliases().aliases
        return next((one.collection_name for one in aliases if one.alias_name == alias), None)

    def switch(self, alias: str, collection: str) -> None:
        """Move an alias: both steps are one for whoever searches."""
        create = models.CreateAlias(collection_name=collection, alias_name=alias)
        steps: list[models.AliasOperations] = [models.CreateAliasOperation(create_alias=create)]
        if self.target(alias) is not None:
            steps.insert(0, models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
        self._client.update_collection_aliases(change_aliases_operations=steps)

    def drop(self, collection: str) -> None:
        """Remove a collection."""
        self._client.delete_collection(collection)

    def search(self, collection: str, queries: Vectors, depth: int, conditions: Sequence[Condition]) -> RankedLists:
        """Return the nearest chunks of each query."""
        wanted, parameters = _filter(conditions), self._parameters
        requests = [
            models.QueryRequest(query=query, limit=depth, filter=wanted, params=parameters)
            for query in queries.tolist()
        ]
        found = self._client.query_batch_points(collection, requests=requests)
        rows = [
            (
                np.array([point.id for point in one.points], np.int32),
                np.array([p.score for p in one.points], np.float32),
            )
            for one in found
        ]
        return RankedLists.stack(rows, depth)

    def vectors(self, collection: str, chunks: IntArray) -> Vectors:
        """Return the vectors of some chunks."""
        points = self._client.retrieve(collection, ids=chunks.tolist(), with_payload=False, with_vectors=True)
        known = {int(point.id): point.vector for point in points}
        return np.array([known[chunk] for chunk in chunks.tolist()], np.float32)

    def refusal(self, condition: Condition, kind: MetadataType) -> str:
        """Return why a condition cannot be asked: texts have no order in Qdrant."""
        if isinstance(condition, OneOf | Absent) or not condition.of_texts:
            return ""
        return "Qdrant has ranges of numbers, not of texts"

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _filter(conditions: Sequence[Condition]) -> models.Filter | None:
    return models.Filter(must=[_condition(one) for one in conditions]) if conditions else None


def _condition(condition: Condition) -> models.Condition:
    key = f'metadata."{condition.name}"' if not condition.name.isidentifier() else f"metadata.{condition.name}"
    if isinstance(condition, Absent):
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
    if isinstance(condition, OneOf):
        return models.Filter(should=[_equal(key, value) for value in condition.values])
    bounds = {operator: float(value) for operator, value in condition.bounds}
    return models.FieldCondition(key=key, range=models.Range(**bounds))


def _equal(key: str, value: Scalar) -> models.FieldCondition:
    """Return a condition of equality; of a number by a range, since 1 equals 1.0."""
    if isinstance(value, str | bool):
        return models.FieldCondition(key=key, match=models.MatchValue(value=value))
    return models.FieldCondition(key=key, range=models.Range(gte=value, lte=value))
